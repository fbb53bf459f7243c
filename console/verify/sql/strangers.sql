-- Event ids of records that no row read so far has.
select distinct event_id from record where event_id not in (select event_id from event)
