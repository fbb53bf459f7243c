import smtplib
import socket
from collections.abc import Iterator
from email.message import EmailMessage

import httpx
import pytest

from devstack.sink import Options, ScriptError, Sink
from devstack.sink.script import OK, Phase, Script, parse

ADA = "ada@example.com"


def mail(*, to: str = ADA, subject: str = "Welcome", html: str | None = None) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "app@example.com", to, subject
    message.set_content("Hello in words")
    if html is not None:
        message.add_alternative(html, subtype="html")
    return message


def send(sink: Sink, message: EmailMessage | None = None) -> None:
    with smtplib.SMTP(sink.host, sink.port, timeout=10) as client:
        client.send_message(message or mail())


def refusal(sink: Sink, message: EmailMessage | None = None) -> tuple[int, bytes]:
    try:
        send(sink, message)
    except smtplib.SMTPRecipientsRefused as refused:
        code, text = next(iter(refused.recipients.values()))
        return code, text
    except smtplib.SMTPResponseException as refused:
        reply = refused.smtp_error
        return refused.smtp_code, reply if isinstance(reply, bytes) else reply.encode()
    pytest.fail("the sink took the mail")


@pytest.fixture
def pages(smtp_sink: Sink) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=smtp_sink.http_url, trust_env=False) as client:
        yield client


def test_a_mail_is_kept_with_its_envelope_and_both_bodies(smtp_sink: Sink) -> None:
    send(smtp_sink, mail(subject="Grüße", html="<p>Hello</p>"))

    [kept] = smtp_sink.wait(1)
    assert (kept.sender, kept.recipients, kept.subject) == ("app@example.com", (ADA,), "Grüße")
    assert kept.text == "Hello in words\r\n"
    assert kept.html == "<p>Hello</p>\r\n"
    assert kept.header("From") == "app@example.com"


def test_without_a_script_every_mail_is_taken(smtp_sink: Sink) -> None:
    for _ in range(3):
        send(smtp_sink)

    assert [kept.id for kept in smtp_sink.messages()] == [1, 2, 3]


def test_a_recipient_is_refused_twice_and_then_taken(smtp_sink: Sink) -> None:
    smtp_sink.script(ADA, ["451 4.7.1 later", "450 4.2.1 busy", "ok"])

    assert refusal(smtp_sink) == (451, b"4.7.1 later")
    assert refusal(smtp_sink) == (450, b"4.2.1 busy")
    send(smtp_sink)
    send(smtp_sink)

    assert len(smtp_sink.messages(recipient=ADA)) == 2


def test_the_last_reply_repeats_so_that_an_address_bounces_for_ever(smtp_sink: Sink) -> None:
    smtp_sink.script(ADA, ["550 5.1.1 no such user"])

    assert [refusal(smtp_sink) for _ in range(3)] == [(550, b"5.1.1 no such user")] * 3
    send(smtp_sink, mail(to="bob@example.com"))

    assert [kept.recipients for kept in smtp_sink.messages()] == [("bob@example.com",)]


@pytest.mark.parametrize("phase", [Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.DOT])
def test_each_phase_can_refuse(smtp_sink: Sink, phase: Phase) -> None:
    smtp_sink.script("*", ["554 5.7.1 not today", "ok"], phase=phase)

    assert refusal(smtp_sink) == (554, b"5.7.1 not today")
    send(smtp_sink)

    assert len(smtp_sink.messages()) == 1


@pytest.mark.parametrize("phase", list(Phase))
def test_each_phase_can_drop_the_connection(smtp_sink: Sink, phase: Phase) -> None:
    smtp_sink.script("*", ["drop", "ok"], phase=phase)

    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(smtp_sink)

    assert smtp_sink.messages() == []


def test_a_mail_can_be_taken_without_a_reply(smtp_sink: Sink) -> None:
    smtp_sink.script(ADA, ["keep drop"], phase="dot")

    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(smtp_sink)

    assert len(smtp_sink.wait(1)) == 1


def test_a_late_answer_comes_when_the_mail_has_long_been_kept(smtp_sink: Sink) -> None:
    smtp_sink.script(ADA, ["after 0.5"], phase="dot")

    with smtplib.SMTP(smtp_sink.host, smtp_sink.port, timeout=0.3) as client, pytest.raises(OSError, match="timed out"):
        client.send_message(mail())

    assert len(smtp_sink.wait(1)) == 1
    smtp_sink.script(ADA, ["after 0.01"], phase="dot")
    send(smtp_sink)
    assert len(smtp_sink.wait(2)) == 2


def test_a_hanging_sink_says_nothing(smtp_sink: Sink) -> None:
    smtp_sink.script(ADA, ["hang"], phase="dot")

    with smtplib.SMTP(smtp_sink.host, smtp_sink.port, timeout=0.3) as client, pytest.raises(OSError, match="timed out"):
        client.send_message(mail())

    assert smtp_sink.messages() == []


def test_421_also_closes_the_connection(smtp_sink: Sink) -> None:
    smtp_sink.script(ADA, ["421 4.3.2 closing"])

    with smtplib.SMTP(smtp_sink.host, smtp_sink.port, timeout=10) as client:
        client.ehlo()
        client.mail("app@example.com")
        assert client.rcpt(ADA) == (421, b"4.3.2 closing")
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.noop()


@pytest.mark.parametrize(
    "body", [b"", b"\r\n", b".\r\n", b"..\r\n.a\r\n", b"one\r\n.\rtwo\r\n", b"x" * 200_000 + b"\r\n"]
)
def test_the_bytes_of_a_message_are_kept_as_they_came(smtp_sink: Sink, body: bytes) -> None:
    source = b"Subject: bytes\r\n\r\n" + b"\r\n".join(body[at : at + 900] for at in range(0, len(body), 900))

    with smtplib.SMTP(smtp_sink.host, smtp_sink.port, timeout=10) as client:
        client.sendmail("app@example.com", [ADA], source.replace(b"\r\n\r\n\r\n", b"\r\n\r\n"))

    assert smtp_sink.wait(1)[0].source.rstrip() == source.rstrip()


def test_an_empty_message_and_commands_sent_ahead_are_understood(smtp_sink: Sink) -> None:
    with (
        socket.create_connection((smtp_sink.host, smtp_sink.port), timeout=10) as client,
        client.makefile("rb") as said,
    ):
        said.readline()
        client.sendall(b"HELO me\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<ada@example.com>\r\nDATA\r\n")
        assert [said.readline()[:3] for _ in range(4)] == [b"250", b"250", b"250", b"354"]
        client.sendall(b".\r\nNOOP\r\nQUIT\r\n")
        assert [said.readline()[:3] for _ in range(3)] == [b"250", b"250", b"221"]

    assert [kept.source for kept in smtp_sink.messages()] == [b""]


def test_a_message_that_breaks_a_limit_is_refused(smtp_sink: Sink) -> None:
    with smtplib.SMTP(smtp_sink.host, smtp_sink.port, timeout=10) as client:
        with pytest.raises(smtplib.SMTPDataError, match=r"500.*line is longer than 998 bytes"):
            client.sendmail("app@example.com", [ADA], b"x" * 999)
        client.sendmail("app@example.com", [ADA], b"x" * 998)
    options = Options(max_message_bytes=100)
    with Sink(options=options) as small, smtplib.SMTP(small.host, small.port, timeout=10) as client:
        client.ehlo()
        client.mail("app@example.com")
        client.rcpt(ADA)
        assert client.data(b"x" * 101) == (552, b"5.3.4 message is too big")


@pytest.mark.parametrize("reply", ["250 fine", "yes", "451", "4511 x", "550 bad\r\n250 ok", ""])
def test_a_reply_that_makes_no_sense_is_refused(reply: str) -> None:
    with pytest.raises(ScriptError, match="expected a reply to be 4yz or 5yz with a text, after N, or one of ok, drop"):
        parse(reply)


def test_a_phase_that_does_not_exist_is_refused(smtp_sink: Sink) -> None:
    with pytest.raises(ScriptError, match="expected phase to be one of mail, rcpt, data, dot, got 'helo'"):
        smtp_sink.script(ADA, ["ok"], phase="helo")


def test_a_script_for_a_recipient_comes_before_the_one_for_any() -> None:
    script = Script()
    script.set("*", ["550 5.1.1 any"])
    script.set("ADA@example.com", ["ok"])

    assert script.next(Phase.RCPT, [ADA]) is OK
    assert script.next(Phase.RCPT, ["bob@example.com"]).line == "550 5.1.1 any"
    assert script.next(Phase.DOT, ["bob@example.com"]) is OK


def test_a_full_sink_says_so_and_loses_nothing() -> None:
    with Sink(options=Options(capacity_bytes=600)) as sink:
        send(sink)
        assert refusal(sink, mail(subject="x" * 400)) == (452, b"4.3.1 the sink is full")
        assert len(sink.messages()) == 1


def test_a_paused_sink_ends_and_refuses_connections_and_comes_back_on_the_same_port(smtp_sink: Sink) -> None:
    port = smtp_sink.port

    with smtplib.SMTP(smtp_sink.host, smtp_sink.port, timeout=10) as idle:
        smtp_sink.pause()
        with pytest.raises(smtplib.SMTPServerDisconnected):
            idle.noop()
    with pytest.raises(ConnectionRefusedError):
        send(smtp_sink)
    smtp_sink.resume()
    send(smtp_sink)

    assert smtp_sink.port == port
    assert len(smtp_sink.messages()) == 1


def test_a_sink_with_logins_takes_no_mail_without_one() -> None:
    with Sink(options=Options(logins=(("app", "secret"),))) as sink:
        with pytest.raises(smtplib.SMTPSenderRefused, match="530"):
            send(sink)
        with smtplib.SMTP(sink.host, sink.port, timeout=10) as client:
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login("app", "guessed")
            client.login("app", "secret")
            client.send_message(mail())

        assert [kept.login for kept in sink.messages()] == ["app"]


def test_waiting_for_a_mail_that_does_not_come_is_an_error(smtp_sink: Sink) -> None:
    with pytest.raises(TimeoutError, match=r"expected 1 mails in the sink within 0\.05 s, got 0"):
        smtp_sink.wait(1, timeout_seconds=0.05)


def test_connections_and_commands_are_counted(smtp_sink: Sink) -> None:
    with smtplib.SMTP(smtp_sink.host, smtp_sink.port, timeout=10) as client:
        client.send_message(mail())
        client.send_message(mail())

    counted = smtp_sink.traffic.read()
    assert (counted["connections"], counted["rcpt"], counted["dot"]) == (1, 2, 2)


def test_the_pages_show_list_bodies_and_source(smtp_sink: Sink, pages: httpx.Client) -> None:
    send(smtp_sink, mail(subject="Your <role>", html="<p>Hello</p>"))

    assert "Your &lt;role&gt;" in pages.get("/").text
    assert 'src="/mails/1/html"' in pages.get("/mails/1").text
    assert "Hello in words" in pages.get("/mails/1?view=text").text
    assert "Subject: Your" in pages.get("/mails/1?view=source").text
    assert pages.get("/mails/1/html").text == "<p>Hello</p>\r\n"
    assert pages.get("/mails/2").status_code == 404


def test_a_mail_without_html_is_shown_as_text(smtp_sink: Sink, pages: httpx.Client) -> None:
    send(smtp_sink)

    assert "<pre>Hello in words" in pages.get("/mails/1").text
    assert pages.get("/mails/1/html").status_code == 404


def test_the_html_of_a_mail_can_run_no_script(smtp_sink: Sink, pages: httpx.Client) -> None:
    send(smtp_sink, mail(html="<script>alert(1)</script><img src=x onerror=alert(1)>"))

    page, framed = pages.get("/mails/1"), pages.get("/mails/1/html")

    assert "alert(1)" not in page.text
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page.text
    policy = framed.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none';")
    assert "script" not in policy
    assert "allow-scripts" not in page.text + policy
    assert framed.headers["x-content-type-options"] == "nosniff"


def test_the_api_gives_mails_as_json_and_forgets_them(smtp_sink: Sink, pages: httpx.Client) -> None:
    send(smtp_sink)
    send(smtp_sink, mail(to="bob@example.com"))

    listed = pages.get("/api/mails", params={"recipient": "bob@example.com"}).json()["mails"]
    one = pages.get("/api/mails/2").json()
    pages.delete("/api/mails")

    assert [(found["id"], found["recipients"]) for found in listed] == [(2, ["bob@example.com"])]
    assert (one["subject"], one["text"]) == ("Welcome", "Hello in words\r\n")
    assert ["Subject", "Welcome"] in one["headers"]
    assert smtp_sink.messages() == []


def test_the_api_takes_scripts(smtp_sink: Sink, pages: httpx.Client) -> None:
    wanted = {"recipient": ADA, "replies": ["550 5.1.1 no such user"], "phase": "rcpt"}

    assert pages.post("/api/scripts", json=wanted).status_code == 201
    assert refusal(smtp_sink)[0] == 550
    pages.delete("/api/scripts")
    send(smtp_sink)


@pytest.mark.parametrize(
    "wrong", [{}, {"recipient": ADA, "replies": ["maybe"]}, ["ok"], {"recipient": 1, "replies": ["ok"]}]
)
def test_the_api_refuses_what_is_no_script(pages: httpx.Client, wrong: object) -> None:
    answer = pages.post("/api/scripts", json=wrong)

    assert answer.status_code == 422
    assert answer.json()["error"].startswith("not a script: ")


def test_other_sites_reach_nothing_through_a_browser(pages: httpx.Client) -> None:
    rebound = pages.get("/api/mails", headers={"host": "evil.example"})
    form = pages.post("/api/scripts", content="{}", headers={"content-type": "text/plain"})

    assert rebound.status_code == 400
    assert form.status_code == 415
