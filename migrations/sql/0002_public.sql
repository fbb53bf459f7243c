-- PostgreSQL lets everybody call a new function; 0003 says who may.
revoke all on all functions in schema outbox from public;
