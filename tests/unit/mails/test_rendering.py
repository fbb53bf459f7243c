"""A mail shows the event's values as data, in the reader's language, or says which template lacks which variable."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from mailer.errors import HeaderRefusedError, MailFolderError, RenderError
from outbox.envelope import ReceivedEvent
from tests.support.mails import MailFiles

ADA: dict[str, object] = {"email": "ada@example.com", "name": "Ada", "locale": "en"}


def test_a_mail_has_a_subject_a_text_and_an_html_body(mail: MailFiles) -> None:
    rendered = mail.render(ADA)

    assert rendered.subject == "Hello Ada"
    assert rendered.text.startswith("Hello Ada,\n\nGood day.\n")
    assert rendered.html is not None
    assert "<p" in rendered.html


def test_css_is_inlined_and_media_rules_are_kept(mail: MailFiles) -> None:
    html = mail.render(ADA).html

    assert html is not None
    assert "Arial, sans-serif;margin: 0 0 16px 0;font-size: 16px;" in html
    assert "@media (prefers-color-scheme: dark)" in html


def test_a_value_is_escaped_in_html_and_not_in_text(mail: MailFiles) -> None:
    for body in ("body.txt", "body.html"):
        mail.replace(body, "Good day.", "{{ payload.reason }}")

    rendered = mail.render(ADA | {"reason": "<script>1 & 2</script>"})

    assert "&lt;script&gt;1 &amp; 2&lt;/script&gt;" in str(rendered.html)
    assert "<script>1 & 2</script>" in rendered.text


def test_a_value_never_becomes_a_template(mail: MailFiles) -> None:
    mail.replace("body.txt", "Good day.", "{{ payload.reason }}")

    assert "{{ 7 * 7 }}" in mail.render(ADA | {"reason": "{{ 7 * 7 }}"}).text


@pytest.mark.parametrize(
    "attack",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ payload.__class__ }}",
        "{{ brand.update({'a': 1}) }}",
        "{% set _ = [].append(1) %}",
        "{% include '/etc/passwd' %}",
        "{% include '../greeting/mail.toml' %}",
    ],
)
def test_a_template_reaches_nothing_outside(mail: MailFiles, attack: str) -> None:
    mail.replace("body.txt", "Good day.", attack)

    with pytest.raises(RenderError):
        mail.render(ADA)


def test_a_payload_key_named_like_a_method_is_its_value(mail: MailFiles) -> None:
    mail.replace("body.txt", "Good day.", "{{ payload.items }} {{ payload.values }}")

    assert "3 books" in mail.render(ADA | {"items": 3, "values": "books"}).text


def test_an_undefined_variable_is_named_with_its_place_and_no_value(mail: MailFiles) -> None:
    mail.replace("body.html", "Good day.", "Good day.\n{{ payload.reason }}")

    with pytest.raises(RenderError) as refused:
        mail.render(ADA)

    assert (refused.value.template, refused.value.line, refused.value.variable) == ("greeting/body.html", 5, "reason")
    assert str(refused.value) == "greeting/body.html:5: 'reason' is undefined"


def test_a_failure_while_rendering_shows_no_value(mail: MailFiles) -> None:
    mail.replace("body.txt", "Good day.", "{{ payload.name + 1 }}")

    with pytest.raises(RenderError) as refused:
        mail.render(ADA | {"name": "hunter2"})

    assert str(refused.value) == "greeting/body.txt:3: TypeError while it was rendered"
    assert refused.value.__cause__ is None


def test_a_link_that_is_not_https_is_refused_without_being_shown(mail: MailFiles) -> None:
    mail.replace("body.txt", "Good day.", "{{ payload.url | link }}")

    with pytest.raises(RenderError, match=r"body.txt:3: a value was refused: its URL is not https"):
        mail.render(ADA | {"url": "http://example.com/token"})


def test_a_subject_of_two_lines_is_refused(mail: MailFiles) -> None:
    mail.write("subject.txt", "Hello {{ payload.name }}\n")

    with pytest.raises(HeaderRefusedError):
        mail.render(ADA | {"name": "Ada\nBcc: eve@example.com"})


def test_an_empty_subject_is_refused(mail: MailFiles) -> None:
    mail.write("subject.txt", "{{ payload.title | default('') }}\n")

    with pytest.raises(RenderError, match="the subject is empty"):
        mail.render(ADA)


def test_an_html_template_takes_no_text_macros_for_they_would_go_unescaped(mail: MailFiles) -> None:
    mail.replace("body.html", "<p>Good day.</p>", '{% from "_base/words.txt" import hello %}{{ hello("<b>") }}')

    with pytest.raises(RenderError, match="TemplateRuntimeError"):
        mail.render(ADA)


def test_css_is_neither_fetched_nor_read_from_files(mail: MailFiles) -> None:
    (mail.root / "secret.css").write_text("p { color: red; }")
    links = (
        f'<link rel="stylesheet" href="file://{mail.root}/secret.css"><link rel="stylesheet" href="https://a.example/">'
    )
    mail.write("body.html", f"<html><head>{links}</head><body><p>x</p></body></html>")

    assert "red" not in str(mail.render(ADA).html)  # and no socket was opened: they are blocked here


def test_a_mail_without_html_is_text_alone(mail: MailFiles) -> None:
    mail.remove("body.html")

    assert mail.render(ADA).html is None


@pytest.mark.parametrize(
    ("asked", "subject"),
    [
        ("de", "Hallo"),
        ("de-AT", "Hallo"),
        ("de_CH", "Hallo"),
        ("DE", "Hallo"),
        ("fr", "Hello Ada"),
        (None, "Hello Ada"),
    ],
)
def test_a_mail_is_in_the_readers_language_or_its_parent_or_the_default(
    mail: MailFiles, asked: str | None, subject: str
) -> None:
    mail.write("de/subject.txt", "Hallo\n")

    assert mail.render(ADA, locale=asked).subject == subject


def test_the_frame_of_a_german_mail_is_german(mail: MailFiles) -> None:
    mail.write("de/subject.txt", "Hallo\n")

    rendered = mail.render(ADA, locale="de")

    assert rendered.text.startswith("Hallo Ada,")
    assert '<html lang="de"' in str(rendered.html)


def test_own_base_files_come_before_the_shipped_ones(mail: MailFiles) -> None:
    base = mail.root / "_base"
    base.mkdir()
    (base / "brand.toml").write_text(
        'product = "Acme"\ncompany = "Acme"\nurl = "https://acme.example"\nsupport = "help@acme.example"\n'
        'locale = "fr"\n'
    )

    rendered = mail.render(ADA)

    assert "The Acme team" in rendered.text
    assert mail.load().locales_of("greeting") == ("fr",)


def test_an_event_says_who_gets_the_mail_and_in_which_language(mail: MailFiles) -> None:
    mail.write("de/subject.txt", "Hallo\n")
    library = mail.load()
    event = ReceivedEvent(
        event_id=UUID(int=7),
        type="user.greeted",
        aggregate_type="user",
        aggregate_id="42",
        payload=ADA | {"locale": "de-AT"},
        payload_text="",
        headers={},
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )

    assert library.recipient_and_locale(library.mails[0], event) == ("ada@example.com", "de")


@pytest.mark.parametrize("locale", [None, "", "../../etc", "x" * 300, 7, {"a": 1}])
def test_a_language_that_is_none_means_the_default(mail: MailFiles, locale: object) -> None:
    library = mail.load()

    _, chosen = library.recipient_and_locale(library.mails[0], {"payload": ADA | {"locale": locale}})

    assert chosen == "en"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ([], "payload_not_an_object"),
        (None, "payload_not_an_object"),
        ({}, "no_recipient"),
        ({"email": ""}, "no_recipient"),
        ({"email": "  "}, "no_recipient"),
        ({"email": None}, "bad_address"),
        ({"email": "ada"}, "bad_address"),
        ({"email": "ada@example.com\nBcc: x@example.com"}, "bad_address"),
        ({"email": ["ada@example.com"]}, "bad_address"),
    ],
)
def test_an_event_without_a_usable_address_is_refused(mail: MailFiles, payload: object, reason: str) -> None:
    refusal = mail.refusal(payload)

    assert refusal.reason == reason
    assert "ada" not in str(refusal)


def test_an_event_that_lacks_a_variable_is_refused_before_a_delivery_is_owed(mail: MailFiles) -> None:
    mail.replace("body.html", "Good day.", "{{ payload.reason }}")

    refusal = mail.refusal(ADA)

    assert refusal.reason == "missing_variable"
    assert refusal.detail == "greeting/body.html:4: 'reason' is undefined"


def test_an_event_whose_subject_would_be_two_lines_is_refused(mail: MailFiles) -> None:
    mail.write("subject.txt", "{{ payload.name }}")

    assert mail.refusal(ADA | {"name": "a\nb"}).reason == "header_refused"


def test_an_event_makes_the_mails_of_its_type(mail: MailFiles) -> None:
    library = mail.load()

    assert [found.name for found in library.mails_for("user.greeted")] == ["greeting"]
    assert library.mails_for("user.unknown") == ()


def test_the_version_changes_with_any_file_but_the_samples(mail: MailFiles) -> None:
    first = mail.load().mails[0].version
    mail.write("samples/typical.json", "{}")
    second = mail.load().mails[0].version
    mail.replace("body.txt", "Good day.", "Good evening.")
    third = mail.load().mails[0].version

    assert first == second != third


@pytest.mark.parametrize(
    ("file", "text", "where", "problem"),
    [
        ("mail.toml", "event = [", "mail.toml", "expected TOML"),
        ("mail.toml", 'event = "a"', "mail.toml", "to is missing"),
        ("mail.toml", 'event = "a"\nto = "{{ x"', "mail.toml", "is no template"),
        ("body.txt", "a\n{% if %}", "body.txt:2", "Expected an expression"),
        ("body.txt", "a\n{{ payload.x | nope }}", "body.txt:2", "No filter named 'nope'"),
    ],
)
def test_a_folder_that_is_wrong_is_refused_when_the_library_is_loaded(
    mail: MailFiles, file: str, text: str, where: str, problem: str
) -> None:
    mail.write(file, text)

    with pytest.raises(MailFolderError, match=problem) as refused:
        mail.load()

    assert refused.value.where.endswith(where)


@pytest.mark.parametrize("file", ["mail.toml", "subject.txt", "body.txt"])
def test_a_folder_without_a_needed_file_is_refused(mail: MailFiles, file: str) -> None:
    mail.remove(file)

    with pytest.raises(MailFolderError, match="missing"):
        mail.load()


def test_a_library_that_is_not_there_is_refused_with_the_setting_to_change(mail: MailFiles) -> None:
    mail.root = mail.root / "nowhere"

    with pytest.raises(MailFolderError, match="expected a directory") as refused:
        mail.load()

    assert "OUTBOX_MAIL_TEMPLATES" in refused.value.__notes__[0]


def test_a_mail_that_is_not_there_is_named_with_those_that_are(mail: MailFiles) -> None:
    with pytest.raises(MailFolderError, match="has no mail 'gretting'; there are greeting"):
        mail.load().folder("gretting")


@pytest.mark.parametrize("name", ["subject.txt", "body.txt", "body.html"])
def test_half_of_a_surrogate_pair_is_refused_before_a_mail_is_owed(mail: MailFiles, name: str) -> None:
    mail.write(name, "{{ payload.name }}\n")

    refused = mail.refusal({"email": "ada@example.com", "name": "\ud800"})

    assert refused.reason in ("render_failed", "header_refused")
    assert "half of a surrogate pair" in refused.detail
