-- Records in the order of the event ids, those of one event as they lie in Kafka.
select event_id, topic, part, pos, key, made_at from record order by event_id, topic, part, pos
