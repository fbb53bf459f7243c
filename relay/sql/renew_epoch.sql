-- Go on under the next epoch, within a term: what is published from here on needs a barrier that is written from here on.
-- No row: a successor has raised the epoch. Index: primary key. Locks the shard's row.
update outbox.shard set epoch = epoch + 1
where shard = %(shard)s and epoch = %(epoch)s
returning epoch
