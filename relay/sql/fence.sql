-- Hold our epoch until the transaction ends (rule 9). No row: fenced, write nothing.
-- Index: primary key. Locks the shard's row for share; `for key share` would not conflict with a takeover.
select epoch from outbox.shard where shard = %(shard)s and epoch = %(epoch)s for share
