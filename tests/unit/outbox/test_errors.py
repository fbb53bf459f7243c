import inspect
import pickle

import pytest

from outbox import errors

EXAMPLES = (
    errors.InvalidEventError("type", "not empty", "an empty text"),
    errors.InvalidPayloadError("payload.a", "a finite number", "nan"),
    errors.ReservedHeaderError("id"),
    errors.UnsupportedHostError("Engine"),
    errors.MalformedRecordError("outbox.event.user", "it has no id", "0192f0c1-5d5e-7cc0-8000-000000000001"),
    errors.UnknownEnvelopeError("avro", ("debezium",)),
    errors.InvalidRouteError("{colour}", "it may name others"),
)


def test_every_error_has_an_example_here() -> None:
    classes = {
        value for _, value in inspect.getmembers(errors, inspect.isclass) if issubclass(value, errors.OutboxError)
    }

    assert {type(example) for example in EXAMPLES} == classes - {errors.OutboxError}


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling_with_its_facts_and_notes(error: errors.OutboxError) -> None:
    error.add_note("the remedy")

    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.__dict__ == error.__dict__


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_a_message_is_one_line_that_starts_small_and_has_no_full_stop(error: errors.OutboxError) -> None:
    text = str(error)

    assert text[0].islower()
    assert not text.endswith(".")
    assert "\n" not in text
