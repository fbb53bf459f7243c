-- What was read of PostgreSQL and Kafka, to be sorted: SQLite, in a file that is deleted with the command.
create table window (shard int, seq int, epoch int, a text, b text, since real, at real, primary key (shard, seq)) without rowid;
-- A row that two windows carry, for an operator chose a position anew between them, is the first one's.
create table event (event_id blob, id integer primary key, shard int, seq int, tx int, since real, topic text, key blob, aggregate blob, judged int);
create table letter (shard int, id int, reason text, primary key (shard, id)) without rowid;
create table record (event_id blob, topic text, part int, pos int, key blob, made_at real);
create table progress (
  shard int, pos int, seq int, prev_seq int, epoch int, a text, b text, last_id int, n int, sha text, owner text
);
