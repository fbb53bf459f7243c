"""What the DNS records of a sender's domain mean to those who receive its mail. Decisions only: nobody is asked here.

What receivers are sure to hold against every mail fails (two SPF records, a domain that takes no mail); what only some
do is marked. Sources: RFC 7208 (SPF), RFC 7489 (DMARC), RFC 6376 (DKIM), RFC 5321 section 5.1 and RFC 7505 (MX).
"""

import re
from collections.abc import Sequence
from typing import Final

from console.finding import Finding, failed, good, skipped, warned
from console.output import counted

# RFC 7208, section 4.6.4: with more, the record is an error. Those of included records count too; we see the first
# level only.
MOST_LOOKUPS: Final = 10
_ASKS: Final = re.compile(r"[+?~-]?(?:include:|a(?=[:/]|$)|mx(?=[:/]|$)|ptr(?=:|$)|exists:)|redirect=", re.IGNORECASE)
_POLICIES: Final = frozenset(("none", "quarantine", "reject"))
_TWO_ALIKE: Final = "remove all but one; receivers take several for an error and use none"
_SPF: Final = "exactly one SPF record, which names who sends"
_DMARC: Final = "exactly one DMARC record, with a policy"
_MX: Final = "a place where bounces arrive"


def spf(domain: str, texts: Sequence[str]) -> Finding:
    """Judge the TXT records of *domain*."""
    records = [text for text in texts if text.lower().split(" ")[0] == "v=spf1"]
    if not records:
        fix = f'publish a TXT record at {domain}, as "v=spf1 include:PROVIDER -all"; your provider says which'
        return warned("mail.spf", expected=_SPF, actual=f"none at {domain}", fix=fix)
    if len(records) > 1:
        return failed("mail.spf", expected=_SPF, actual=f"{len(records)} at {domain}", fix=_TWO_ALIKE)
    terms = records[0].split()[1:]
    lookups = sum(1 for term in terms if _ASKS.match(term))
    if lookups > MOST_LOOKUPS:
        actual = f"one that takes {counted(lookups, 'lookup')}: {records[0]}"
        fix = f"leave {MOST_LOOKUPS} at most: with more, receivers take it for an error"
        return failed("mail.spf", expected=_SPF, actual=actual, fix=fix)
    if {"all", "+all"} & {term.lower() for term in terms}:
        fix = "end it with -all or ~all"
        return warned("mail.spf", expected=_SPF, actual=f"one that lets anybody send: {records[0]}", fix=fix)
    return good("mail.spf", records[0], expected=_SPF)


def dmarc(where: str, texts: Sequence[str]) -> Finding:
    """Judge the TXT records of *where*, which begins with `_dmarc.`."""
    records = [text for text in texts if text.lower().replace(" ", "").startswith("v=dmarc")]
    if not records:
        fix = f'publish a TXT record at {where}, as "v=DMARC1; p=none; rua=mailto:YOU"; Gmail and Yahoo ask for one'
        return warned("mail.dmarc", expected=_DMARC, actual=f"none at {where}", fix=fix)
    if len(records) > 1:
        return failed("mail.dmarc", expected=_DMARC, actual=f"{len(records)} at {where}", fix=_TWO_ALIKE)
    problem = _unreadable(records[0])
    if problem is not None:
        fix = f'correct the TXT record at {where}: "v=DMARC1; p=none|quarantine|reject; …"'
        return failed("mail.dmarc", expected=_DMARC, actual=f"{problem}: {records[0]}", fix=fix)
    return good("mail.dmarc", f"{where}: {records[0]}", expected=_DMARC)


def _unreadable(record: str) -> str | None:
    """Return why receivers cannot read a DMARC record; nothing when they can."""
    tags = [tag.strip() for tag in record.split(";") if tag.strip()]
    pairs = [
        (name.strip().lower(), value.strip()) for name, found, value in (tag.partition("=") for tag in tags) if found
    ]
    if len(pairs) < len(tags):
        return "a part without ="
    if pairs[0] != ("v", "DMARC1"):
        return "it does not begin with v=DMARC1"
    policy = dict(pairs).get("p")
    if policy is None:
        return "it has no policy (p=)"
    return None if policy.lower() in _POLICIES else f"its policy is {policy!r}"


def bounces(domain: str, exchanges: Sequence[str], *, addressed: bool) -> Finding:
    """Judge the mail *exchanges* of *domain*; without any, mail goes to the domain itself where it is *addressed*."""
    if [exchange.rstrip(".") for exchange in exchanges] == [""]:
        fix = "send from a domain that takes mail: a null MX (RFC 7505) makes receivers refuse what it sends"
        return failed("mail.bounces", expected=_MX, actual=f"{domain} says that it takes no mail", fix=fix)
    if exchanges:
        return good("mail.bounces", ", ".join(sorted(exchange.rstrip(".") for exchange in exchanges)), expected=_MX)
    if addressed:
        return good("mail.bounces", f"{domain} itself, which has no MX", expected=_MX)
    fix = f"publish an MX record at {domain}, and read what arrives with `outbox mail bounces`"
    return warned("mail.bounces", expected=_MX, actual=f"{domain} has neither MX nor address", fix=fix)


def dkim(where: str, texts: Sequence[str]) -> Finding:
    """Judge the TXT records of *where*, which is `selector._domainkey.domain`."""
    expected = f"a public key at {where}"
    keys = [match[1] for text in texts if (match := re.search(r"(?:^|;)\s*p\s*=\s*([^;]*)", text))]
    if not keys:
        fix = "publish what your provider shows, or correct OUTBOX_MAIL_DKIM_SELECTOR"
        return failed("mail.dkim", expected=expected, actual="none", fix=fix)
    if len(keys) > 1:
        return failed("mail.dkim", expected=expected, actual=f"{len(keys)} keys", fix="remove all but one")
    if not keys[0].strip():
        return failed(
            "mail.dkim", expected=expected, actual="one that was revoked (an empty p=)", fix="sign with another"
        )
    return good("mail.dkim", f"a key at {where}", expected=expected)


def dkim_unknown() -> Finding:
    """Return that a key cannot be found without its name."""
    return skipped("mail.dkim", "OUTBOX_MAIL_DKIM_SELECTOR does not say under which name the key is published")
