-- What 0006 added without looking at the rows that were there: looked at now, while they are read and written.
alter table outbox.suppression validate constraint suppression_check;
alter table outbox.delivery validate constraint delivery_state_check;
