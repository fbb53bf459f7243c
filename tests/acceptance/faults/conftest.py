"""Nothing of its own: what these tests use is there for all of `acceptance`."""

from tests.acceptance.conftest import Verify, Writing

__all__ = ["Verify", "Writing"]
