-- Which installation is this? It keys the recipients' hashes where no secret is set. Always one row.
select install_id from outbox.meta
