"""Mail servers that others wrote, set up alike: Postfix, Exim and Dovecot of the system's packages, and aiosmtpd.

Each has its own folder, configuration, ports of 127.0.0.1 and process id; no service of the system is touched. What is
not installed, or may not be started by whoever runs the tests, says so in `missing`.
"""

import os
import pwd
import shutil
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Protocol

TLS = Path(__file__).parents[1] / "tls"
CA = TLS / "ca.pem"

DOMAIN = "example.com"
ADA, JOSE = f"ada@{DOMAIN}", f"josé@{DOMAIN}"  # have a mailbox
MAILBOXES = ("ada", "ada.conformance", "josé", "bounces", "refused", "late")
NOBODY, GREY, FULL = f"nobody@{DOMAIN}", f"grey@{DOMAIN}", f"crowded@{DOMAIN}"
ELSEWHERE = "ada@elsewhere.example"  # whose mail is no business of the server's
BANNED = f"banned@{DOMAIN}"  # may send nothing
BAD_SUBJECT = "Subject: buy now"  # is refused after the final dot
USER, PASSWORD = "ada", "right päss"
SMALL_BYTES = 2000


class Service(StrEnum):
    """What a server does differently, each on a port of its own."""

    PLAIN = "plain"  # neither encrypts nor asks who we are
    SUBMISSION = "submission"  # STARTTLS, and behind it AUTH PLAIN and AUTH LOGIN
    LOGIN = "login"  # likewise, with AUTH LOGIN only
    SMTPS = "smtps"
    ELSEWHERE = "elsewhere"  # STARTTLS with a certificate for another host
    ASCII = "ascii"  # no SMTPUTF8
    HASTY = "hasty"  # closes a connection that says nothing for a second
    SMALL = "small"  # no message above SMALL_BYTES


class SmtpPeer(Protocol):
    """A server that took its mail into mailboxes."""

    @property
    def ports(self) -> Mapping[Service, int]:
        """Return where each service listens."""

    @property
    def connections(self) -> int:
        """Return how many connections there were."""

    def delivered(self) -> list[bytes]:
        """Return the mails that arrived, lines ended as on the wire."""

    def close(self) -> None:
        """End it for good."""


_PROGRAMS = {
    "postfix": ("postfix", "postconf"),
    "exim": ("exim4",),
    "dovecot": ("dovecot",),
}
_USERS = {"postfix": ("postfix",), "exim": ("Debian-exim",), "dovecot": ("dovecot", "dovenull")}
_PACKAGES = {"postfix": "postfix", "exim": "exim4-daemon-light", "dovecot": "dovecot-imapd"}


def program(name: str) -> str | None:
    """Return where *name* is: on the PATH, or where administrators' programs are."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


def missing(kind: str) -> str | None:
    """Return why no server of *kind* (`postfix`, `exim`, `dovecot`) can be started; nothing when one can."""
    if not all(program(name) for name in _PROGRAMS[kind]):
        return f"{kind} is not installed (on Debian: apt-get install {_PACKAGES[kind]})"
    if os.geteuid() != 0:
        return f"{kind} changes to users of its own, which only root may"
    unknown = [user for user in _USERS[kind] if not _exists(user)]
    return f"{kind} needs the user {unknown[0]}, which its package makes" if unknown else None


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def filled(template: str, **values: object) -> str:
    """Return the configuration *template*, which lies beside this module, with each @name@ replaced."""
    text = (Path(__file__).parent / template).read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def read_maildirs(folder: Path) -> list[bytes]:
    """Return the mails in the maildirs below *folder*, lines ended as on the wire."""
    return [path.read_bytes().replace(b"\n", b"\r\n") for path in sorted(folder.glob("*/new/*"))]
