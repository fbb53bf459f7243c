-- What the joins look up; made once everything is there.
create index event_by_id on event (event_id)
