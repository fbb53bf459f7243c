"""A library of one mail, to be broken in one place at a time."""

from pathlib import Path

import pytest

from mailer.rendering import Library
from tests.support.mails import MailFiles


@pytest.fixture
def mail(tmp_path: Path) -> MailFiles:
    """A mail `greeting` that is whole."""
    return MailFiles(tmp_path)


@pytest.fixture(scope="session")
def shipped() -> Library:
    """The mails that are shipped."""
    return Library.load()
