"""Which brokers carry permits, and why the others are refused.

A lost permit costs latency only, so almost any broker would do. Not those that lose, or acknowledge, what is unfinished
in normal operation: a worker that starts on one would look healthy and be slow for ever.
"""

from collections.abc import Mapping

from runtime.secrets import mask

PGMQ = "pgmq"
_TAKEN = {"pgmq": PGMQ, "amqp": "amqp", "amqps": "amqp", "pyamqp": "amqp", "redis": "redis", "rediss": "redis"}
_LOSES = "it lost 3 of 200 tasks when a worker was killed"
_REFUSED: Mapping[str, str] = {
    "sqla": _LOSES,
    "sqlalchemy": _LOSES,
    "filesystem": _LOSES,
    "kafka": "kombu's Kafka transport acknowledges tasks that are not finished",
    "confluentkafka": "kombu's Kafka transport acknowledges tasks that are not finished",
    "memory": "it lives inside one process, and a worker is another",
}


def kind_of(url: str) -> str:
    """Return `pgmq`, `amqp` or `redis`; raise ValueError, with the reason, for any other broker."""
    scheme = url.partition("://")[0].partition("+")[0].lower()
    if scheme in _TAKEN:
        return _TAKEN[scheme]
    reason = _REFUSED.get(scheme, "no test of ours covers it")
    raise ValueError(f"expected pgmq://, amqp:// or redis:// as the broker, got {mask(scheme)}://: {reason}")


def checked_broker(url: str) -> str:
    """Return *url* if it is a broker that we take."""
    kind_of(url)
    return url
