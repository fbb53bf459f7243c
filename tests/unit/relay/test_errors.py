import inspect
import pickle
from dataclasses import fields

import pytest

from relay import errors
from relay.errors import RelayError

CLASSES = [
    found
    for _, found in inspect.getmembers(errors, inspect.isclass)
    if issubclass(found, RelayError) and found is not RelayError
]
VALUES = {"int": 3, "str": "why", "bool": True}


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_pickles_with_its_facts_and_notes(kind: type[RelayError]) -> None:
    error = kind(*(VALUES[str(field.type.__name__)] for field in fields(kind)))  # type: ignore[arg-type, union-attr]
    error.add_note("do this")

    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes

    assert str(copy) == str(error)
    assert copy.__notes__ == ["do this"]
    assert str(error)[0].islower()
    assert not str(error).endswith(".")
