"""Whether the sender's domain says in DNS what receivers ask for. Where DNS does not answer, nothing fails."""

from collections.abc import Iterator
from typing import Final

import dns.exception
import dns.rdatatype
import dns.resolver

from console.checks import sender_records as records
from console.finding import Finding, failed, skipped
from mailer.guard import parse_mailbox
from mailer.settings import MailerSettings

QUESTION_SECONDS: Final = 3.0
# RFC 2606 and 6762: names of documentation, tests and one's own network; nobody receives mail of theirs.
_OF_NOBODY: Final = frozenset(("example", "test", "invalid", "local", "internal"))
_EXAMPLES: Final = ("example.com", "example.net", "example.org")


class _NoSuchNameError(Exception):
    """The name is not in DNS at all."""


def check(settings: MailerSettings) -> Iterator[Finding]:
    """Yield a line for SPF, DMARC, MX and DKIM each, or one that says why not."""
    domain = parse_mailbox(settings.mail_from).address.rpartition("@")[2].lower()
    if (
        "." not in domain
        or domain.rpartition(".")[2] in _OF_NOBODY
        or f".{domain}".endswith(tuple(f".{e}" for e in _EXAMPLES))
    ):
        yield skipped("mail.dns", f"{domain} is a name for examples")
        return
    try:
        yield from _asked(domain, _resolver(settings), settings.mail_dkim_selector)
    except _NoSuchNameError:
        fix = "register it, or correct OUTBOX_MAIL_FROM: receivers refuse mail of a domain that does not exist"
        yield failed("mail.dns", expected=f"{domain} to exist", actual="no such domain", fix=fix)
    except dns.exception.DNSException as error:
        # dnspython repeats what it says for each server and each try.
        said = str(error).partition(";")[0] or type(error).__name__
        yield skipped("mail.dns", f"no answer from DNS about {domain}: {said}")


def _asked(domain: str, resolver: dns.resolver.Resolver, selector: str | None) -> Iterator[Finding]:
    yield records.spf(domain, _texts(resolver, domain))
    yield _dmarc(domain, resolver)
    exchanges = [answer.split()[-1] for answer in _answers(resolver, domain, "MX")]
    addressed = bool(exchanges) or any(_answers(resolver, domain, kind) for kind in ("A", "AAAA"))
    yield records.bounces(domain, exchanges, addressed=addressed)
    if selector is None:
        yield records.dkim_unknown()
        return
    where = f"{selector}._domainkey.{domain}"
    yield records.dkim(where, _texts(resolver, where, missing_is_none=True))


def _dmarc(domain: str, resolver: dns.resolver.Resolver) -> Finding:
    """Ask upwards: the record of a parent holds for its subdomains. A top-level domain has none for us."""
    labels = domain.split(".")
    parents = [".".join(labels[start:]) for start in range(len(labels) - 1)]
    for parent in parents:
        if texts := _texts(resolver, f"_dmarc.{parent}", missing_is_none=True):
            return records.dmarc(f"_dmarc.{parent}", texts)
    return records.dmarc(f"_dmarc.{domain}", ())


def _texts(resolver: dns.resolver.Resolver, name: str, *, missing_is_none: bool = False) -> list[str]:
    """Return TXT records, each with its strings joined, as receivers read them."""
    try:
        answers = resolver.resolve(name, "TXT", search=False, raise_on_no_answer=False)
    except dns.resolver.NXDOMAIN:
        if missing_is_none:
            return []
        raise _NoSuchNameError from None
    return [b"".join(record.strings).decode("utf-8", "replace") for record in answers]


def _answers(resolver: dns.resolver.Resolver, name: str, kind: str) -> list[str]:
    return [record.to_text() for record in resolver.resolve(name, kind, search=False, raise_on_no_answer=False)]


def _resolver(settings: MailerSettings) -> dns.resolver.Resolver:
    """Return who is asked: the system's servers, or the one that is set."""
    server = settings.dns_server()
    resolver = dns.resolver.Resolver(configure=server is None)
    if server is not None:
        resolver.nameservers, resolver.port = [server[0]], server[1]
    resolver.lifetime = QUESTION_SECONDS
    return resolver
