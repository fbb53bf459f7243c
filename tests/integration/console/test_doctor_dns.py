"""`outbox doctor` and the sender's domain, against a DNS server on this machine."""

from collections.abc import Mapping

import pytest

from console.checks import sender_domain
from console.finding import Finding, Mark
from mailer.settings import MailerSettings
from runtime.errors import SettingsError
from tests.support.dns_server import DnsServer, Zone

WHOLE: Zone = {
    "shop.eu": {"TXT": ['"v=spf1 include:_spf.mail.net" " -all"', '"site=1"'], "MX": ["10 mx.shop.eu."]},
    "_dmarc.shop.eu": {"TXT": ['"v=DMARC1; p=quarantine"']},
    "s1._domainkey.shop.eu": {"TXT": ['"v=DKIM1; k=rsa; p=MIIB" "IjAN"']},
}


def settings(**more: str) -> MailerSettings:
    plain = {
        "OUTBOX_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "OUTBOX_KAFKA_BOOTSTRAP": "127.0.0.1:1",
        "OUTBOX_MAIL_DSN": "null:",
        "OUTBOX_MAIL_FROM": "Shop <no-reply@shop.eu>",
    }
    return MailerSettings.load({**plain, **more})


def asked(server: DnsServer, sender: str = "shop.eu", **more: str) -> dict[str, Finding]:
    env = {"OUTBOX_MAIL_FROM": f"no-reply@{sender}", "OUTBOX_MAIL_DNS_SERVER": server.address, **more}
    with server:
        return {finding.check: finding for finding in sender_domain.check(settings(**env))}


def marks(found: Mapping[str, Finding]) -> dict[str, str]:
    return {name: one.mark.name.lower() for name, one in found.items()}


def test_a_domain_in_order_is_good_in_every_line() -> None:
    found = asked(DnsServer(WHOLE), OUTBOX_MAIL_DKIM_SELECTOR="s1")

    assert marks(found) == dict.fromkeys(("mail.spf", "mail.dmarc", "mail.bounces", "mail.dkim"), "good")
    assert found["mail.spf"].actual == "v=spf1 include:_spf.mail.net -all"


def test_without_a_selector_no_key_is_looked_for() -> None:
    server = DnsServer(WHOLE)

    found = asked(server)

    assert found["mail.dkim"].mark is Mark.SKIPPED
    assert [name for name, _ in server.asked if "_domainkey" in name] == []


def test_what_a_domain_lacks_is_marked_and_what_breaks_mail_fails() -> None:
    zone: Zone = {"shop.eu": {"TXT": ['"v=spf1 -all"', '"v=spf1 mx -all"'], "MX": ["0 ."]}}

    found = asked(DnsServer(zone), OUTBOX_MAIL_DKIM_SELECTOR="s1")

    assert marks(found) == {
        "mail.spf": "failed", "mail.dmarc": "warned", "mail.bounces": "failed", "mail.dkim": "failed",
    }  # fmt: skip


def test_the_policy_of_a_parent_holds_for_its_subdomain() -> None:
    zone: Zone = {**WHOLE, "mail.shop.eu": {"A": ["192.0.2.1"]}}

    found = asked(DnsServer(zone), sender="mail.shop.eu")

    assert found["mail.dmarc"].actual == "_dmarc.shop.eu: v=DMARC1; p=quarantine"
    assert found["mail.bounces"].actual == "mail.shop.eu itself, which has no MX"
    assert found["mail.spf"].mark is Mark.WARNED


def test_a_domain_that_does_not_exist_fails() -> None:
    found = asked(DnsServer({}))

    assert marks(found) == {"mail.dns": "failed"}


def test_where_dns_does_not_answer_nothing_fails() -> None:
    found = asked(DnsServer({}, fails=True))

    assert marks(found) == {"mail.dns": "skipped"}
    assert "no answer from DNS about shop.eu" in found["mail.dns"].actual


def test_where_there_is_no_dns_server_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.checks.sender_domain.QUESTION_SECONDS", 0.3)

    # Nothing listens at port 9; nothing leaves this machine.
    found = asked(DnsServer({}), OUTBOX_MAIL_DNS_SERVER="127.0.0.1:9")

    assert marks(found) == {"mail.dns": "skipped"}


@pytest.mark.parametrize("domain", ["example.com", "mail.example.org", "shop.test"])
def test_nobody_is_asked_about_names_for_examples(domain: str) -> None:
    server = DnsServer(WHOLE)

    found = asked(server, sender=domain)

    assert (marks(found), server.asked) == ({"mail.dns": "skipped"}, [])


@pytest.mark.parametrize(
    ("setting", "value"),
    [("DNS_SERVER", "dns.shop.eu"), ("DNS_SERVER", "127.0.0.1:x"), ("DKIM_SELECTOR", "s1._domainkey shop")],
)
def test_a_wrong_setting_is_named(setting: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"OUTBOX_MAIL_{setting}"):
        settings(**{f"OUTBOX_MAIL_{setting}": value})


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("9.9.9.9", ("9.9.9.9", 53)),
        ("127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("2620:fe::fe", ("2620:fe::fe", 53)),
        ("[::1]:5353", ("::1", 5353)),
    ],
)
def test_a_dns_server_is_an_address_with_or_without_a_port(text: str, server: tuple[str, int]) -> None:
    assert settings(OUTBOX_MAIL_DNS_SERVER=text).dns_server() == server
