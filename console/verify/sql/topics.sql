-- The topics that the events read so far belong to.
select distinct topic from event
