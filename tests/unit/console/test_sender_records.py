"""What a sender's DNS records mean: each case that receivers treat apart."""

import pytest

from console.checks import sender_records as records
from console.finding import Mark

GOOD, FAILED, WARNED = Mark.GOOD, Mark.FAILED, Mark.WARNED


@pytest.mark.parametrize(
    ("texts", "mark", "said"),
    [
        (["v=spf1 include:_spf.mail.net -all", "site-verification=1"], GOOD, "v=spf1 include:_spf.mail.net -all"),
        (["v=spf1"], GOOD, "v=spf1"),
        (["V=SPF1 ip4:192.0.2.1 ~all"], GOOD, "ip4"),
        ([], WARNED, "none at shop.eu"),
        (["v=spf10 -all"], WARNED, "none at shop.eu"),
        (["v=spf1 -all", "v=spf1 mx -all"], FAILED, "2 at shop.eu"),
        (["v=spf1 +all"], WARNED, "anybody"),
        (["v=spf1 mx all"], WARNED, "anybody"),
        (["v=spf1 a mx " + " ".join(f"include:n{n}.eu" for n in range(8)) + " -all"], GOOD, "include:n7.eu"),
        (["v=spf1 a mx " + " ".join(f"include:n{n}.eu" for n in range(9)) + " -all"], FAILED, "11 lookups"),
        (["v=spf1 " + " ".join(f"ip4:192.0.2.{n}" for n in range(20)) + " -all"], GOOD, "192.0.2.19"),
        (["v=spf1 " + "a:a.eu " * 9 + "?exists:b.eu redirect=c.eu"], FAILED, "11 lookups"),
    ],
)
def test_spf(texts: list[str], mark: Mark, said: str) -> None:
    finding = records.spf("shop.eu", texts)

    assert (finding.mark, said in finding.actual) == (mark, True), finding


@pytest.mark.parametrize(
    ("texts", "mark", "said"),
    [
        (["v=DMARC1; p=none; rua=mailto:a@shop.eu"], GOOD, "p=none"),
        (["v=DMARC1;p=reject;"], GOOD, "p=reject"),
        (["v = DMARC1 ; P = Quarantine"], GOOD, "Quarantine"),
        ([], WARNED, "none at _dmarc.shop.eu"),
        (["something else"], WARNED, "none at _dmarc.shop.eu"),
        (["v=DMARC1; p=none", "v=DMARC1; p=reject"], FAILED, "2 at _dmarc.shop.eu"),
        (["v=dmarc1; p=none"], FAILED, "does not begin with v=DMARC1"),
        (["v=DMARC1; rua=mailto:a@shop.eu"], FAILED, "it has no policy"),
        (["v=DMARC1; p=monitor"], FAILED, "its policy is 'monitor'"),
        (["v=DMARC1 p=none"], FAILED, "does not begin with v=DMARC1"),
        (["v=DMARC1; p=none; rua"], FAILED, "a part without ="),
    ],
)
def test_dmarc(texts: list[str], mark: Mark, said: str) -> None:
    finding = records.dmarc("_dmarc.shop.eu", texts)

    assert (finding.mark, said in finding.actual) == (mark, True), finding


@pytest.mark.parametrize(
    ("exchanges", "addressed", "mark", "said"),
    [
        (["mx2.shop.eu.", "mx1.shop.eu."], True, GOOD, "mx1.shop.eu, mx2.shop.eu"),
        ([], True, GOOD, "shop.eu itself"),
        ([], False, WARNED, "neither MX nor address"),
        (["."], True, FAILED, "takes no mail"),
    ],
)
def test_where_bounces_arrive(exchanges: list[str], *, addressed: bool, mark: Mark, said: str) -> None:
    finding = records.bounces("shop.eu", exchanges, addressed=addressed)

    assert (finding.mark, said in finding.actual) == (mark, True), finding


@pytest.mark.parametrize(
    ("texts", "mark", "said"),
    [
        (["v=DKIM1; k=rsa; p=MIIB"], GOOD, "a key at"),
        (["p=MIIB"], GOOD, "a key at"),
        ([], FAILED, "none"),
        (["v=DKIM1; k=rsa; p="], FAILED, "revoked"),
        (["v=DKIM1; p=MIIB", "v=DKIM1; p=MIIC"], FAILED, "2 keys"),
        (["v=spf1 exp=a -all"], FAILED, "none"),
    ],
)
def test_dkim(texts: list[str], mark: Mark, said: str) -> None:
    finding = records.dkim("s1._domainkey.shop.eu", texts)

    assert (finding.mark, said in finding.actual) == (mark, True), finding


def test_everything_that_is_not_good_says_what_to_do() -> None:
    found = [
        records.spf("shop.eu", []),
        records.spf("shop.eu", ["v=spf1 -all"] * 2),
        records.dmarc("_dmarc.shop.eu", []),
        records.dmarc("_dmarc.shop.eu", ["v=DMARC1"]),
        records.bounces("shop.eu", [], addressed=False),
        records.dkim("s1._domainkey.shop.eu", []),
    ]

    assert [one.check for one in found if not one.fix] == []
