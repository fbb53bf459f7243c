"""Each rule of lint finds what it is for, at its line, and a mail without a fault has no finding."""

import json
from pathlib import Path

import pytest

from mailer.lint import Finding, lint
from mailer.lint_finding import RULES
from tests.support.mails import MailFiles

SAMPLE: dict[str, object] = {"email": "ada@example.com", "name": "Ada", "locale": "en"}


def found(mail: MailFiles) -> set[tuple[str, int, str]]:
    return {(finding.path.relative_to(mail.root).as_posix(), finding.line, finding.rule) for finding in lint(mail.root)}


def test_a_mail_without_a_fault_has_no_finding(mail: MailFiles) -> None:
    assert lint(mail.root) == ()


def test_a_finding_reads_like_a_compilers() -> None:
    finding = Finding(Path("greeting/body.txt"), 3, "undefined", "'x' is undefined", "give x")

    assert str(finding) == "greeting/body.txt:3: undefined: 'x' is undefined\n    fix: give x"


def test_a_name_that_nobody_gives_is_found_even_in_a_branch_that_no_sample_takes(mail: MailFiles) -> None:
    mail.replace("body.txt", "Good day.", "\n{% if payload.vip | default(false) %}\n{{ user.name }}{% endif %}")

    assert found(mail) == {("greeting/body.txt", 5, "unknown-name")}


def test_names_that_a_template_makes_itself_are_known(mail: MailFiles) -> None:
    mail.replace(
        "body.html",
        "<p>Good day.</p>",
        '{% import "_base/words.html" as words %}{% set a = 1 %}{% for b in [a] %}{{ b }}{{ loop.index }}{% endfor %}'
        "{% macro c(d) %}{{ d }}{% endmacro %}{{ c(1) }}{{ words.regards(range(2) | length) }}",
    )

    assert found(mail) == set()


def test_a_variable_that_a_sample_lacks_is_found(mail: MailFiles) -> None:
    mail.replace("body.txt", "Good day.", "{{ payload.reason }}")

    (finding,) = lint(mail.root, only="greeting")[:1]

    assert (finding.rule, finding.line, finding.path.name) == ("undefined", 3, "body.txt")
    assert 'payload.reason | default("")' in finding.fix


def test_a_mail_that_needs_what_hosts_may_leave_out_is_found(mail: MailFiles) -> None:
    mail.replace("body.txt", "Good day.", "{{ payload.name }}")

    assert found(mail) == {("greeting/body.txt", 3, "undefined")}


def test_a_value_that_cannot_be_rendered_is_found(mail: MailFiles) -> None:
    mail.replace("body.txt", "Good day.", "{{ payload.email + 1 }}")

    assert found(mail) == {("greeting/body.txt", 3, "render")}


def test_a_template_that_does_not_compile_is_found_at_its_line(mail: MailFiles) -> None:
    mail.replace("body.txt", "Good day.", "{% if %}")

    assert found(mail) == {("greeting/body.txt", 3, "syntax")}


@pytest.mark.parametrize("file", ["subject.txt", "body.txt"])
def test_a_missing_text_is_found(mail: MailFiles, file: str) -> None:
    mail.remove(file)

    assert found(mail) == {(f"greeting/{file}", 1, "missing-file")}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('event = "a"\nto = "b"\nin_dobut = "hold"\n', 3),
        ('event = "a"\nto = "b"\nlane = "security"\nsuppressible = true\n', 4),
        ('event = "a"\nto = [}\n', 2),
        ('to = "b"\n', 1),
    ],
)
def test_a_wrong_mail_toml_is_found(mail: MailFiles, text: str, line: int) -> None:
    mail.write("mail.toml", text)

    assert found(mail) == {("greeting/mail.toml", line, "mail-toml")}


def test_one_broken_mail_does_not_hide_the_findings_of_another(mail: MailFiles) -> None:
    mail.replace("body.txt", "Good day.", "{{ user }}")
    (mail.root / "other").mkdir()

    assert {finding.rule for finding in lint(mail.root)} >= {"mail-toml", "unknown-name"}


def test_an_empty_text_body_is_found(mail: MailFiles) -> None:
    mail.write("body.txt", "{# nothing #}\n")

    assert ("greeting/body.txt", 1, "text-empty") in found(mail)


def test_a_file_that_nothing_reads_is_found(mail: MailFiles) -> None:
    mail.write("body.htm", "x")

    assert found(mail) == {("greeting/body.htm", 1, "unknown-file")}


def test_a_language_that_is_not_complete_is_found(mail: MailFiles) -> None:
    mail.write("de/subject.txt", "Hallo\n")
    mail.write("de/body.txt", "Guten Tag.\n")

    assert found(mail) == {("greeting/de/body.html", 1, "partial-locale")}


def test_a_folder_that_is_no_language_is_found(mail: MailFiles) -> None:
    for file in ("subject.txt", "body.txt", "body.html"):
        mail.write(f"de_AT/{file}", (mail.folder / file).read_text())

    assert ("greeting/de_AT", 1, "locale-name") in found(mail)


@pytest.mark.parametrize("name", ["typical", "longest"])
def test_a_missing_sample_is_found(mail: MailFiles, name: str) -> None:
    mail.remove(f"samples/{name}.json")

    assert found(mail) == {(f"greeting/samples/{name}.json", 1, "sample")}


@pytest.mark.parametrize(("text", "line"), [("[1]", 1), ('{\n  "email": }', 2)])
def test_a_sample_that_is_no_payload_is_found(mail: MailFiles, text: str, line: int) -> None:
    mail.write("samples/typical.json", text)

    assert found(mail) == {("greeting/samples/typical.json", line, "sample")}


def test_a_sample_without_a_recipient_is_found(mail: MailFiles) -> None:
    mail.write("samples/typical.json", json.dumps(SAMPLE | {"email": "ada"}))

    assert found(mail) == {("greeting/samples/typical.json", 1, "recipient")}


def test_a_subject_that_a_value_can_break_is_found(mail: MailFiles) -> None:
    mail.write("subject.txt", "Hello {{ payload.name | default('') }}\n")
    mail.write("samples/longest.json", json.dumps(SAMPLE | {"name": "Ada\nLovelace"}))

    assert found(mail) == {("greeting/subject.txt", 1, "header")}


def test_a_subject_that_gets_too_long_is_found(mail: MailFiles) -> None:
    mail.write("subject.txt", "Hello " * 30)

    assert found(mail) == {("greeting/subject.txt", 1, "subject-length")}


@pytest.mark.parametrize("link", ["http://example.com/a", "ftp://example.com/a"])
def test_a_link_in_text_that_is_not_https_is_found(mail: MailFiles, link: str) -> None:
    mail.replace("body.txt", "Good day.", f"See {link}")

    assert found(mail) == {("greeting/body.txt", 3, "link-not-https")}


@pytest.mark.parametrize("link", ["http://example.com/a", "#", "", "/relative"])
def test_a_link_in_html_that_is_not_https_is_found(mail: MailFiles, link: str) -> None:
    mail.replace("body.html", "<p>Good day.</p>", f'<p>Good day.</p>\n<p><a href="{link}">there</a></p>')

    assert {rule for _, _, rule in found(mail)} == {"link-not-https"}


def test_a_link_of_the_html_body_that_the_text_body_lacks_is_found(mail: MailFiles) -> None:
    mail.replace("body.html", "Good day.", '<a href="https://example.com/a?b=1&amp;c=2">there</a>')

    assert found(mail) == {("greeting/body.txt", 1, "text-lacks-link")}

    mail.replace("body.txt", "Good day.", "https://example.com/a?b=1&c=2")

    assert found(mail) == set()


def test_a_link_made_of_a_value_that_nobody_checked_is_found(mail: MailFiles) -> None:
    for path in ("samples/typical.json", "samples/longest.json"):
        mail.write(path, json.dumps(SAMPLE | {"url": "https://example.com/a"}))
    mail.replace("body.txt", "Good day.", "{{ payload.url | link }}")
    mail.replace("body.html", "Good day.", '<a href="{{ payload.url }}">there</a>')

    assert found(mail) == {("greeting/body.html", 4, "unchecked-link")}

    mail.replace("body.html", "payload.url }}", "payload.url | link }}")

    assert found(mail) == set()


@pytest.mark.parametrize(
    "markup",
    [
        "<script>x</script>",
        '<link rel="stylesheet" href="https://example.com/a.css">',
        '<iframe src="https://example.com/"></iframe>',
        "<style>@import 'a.css';</style>",
        "<div style=\"background: url('https://example.com/a.png')\"></div>",
    ],
)
def test_what_a_mail_client_will_not_load_is_found(mail: MailFiles, markup: str) -> None:
    mail.replace("body.html", "Good day.", markup)

    assert ("greeting/body.html", 4, "remote-resource") in found(mail)


def test_the_frame_that_mails_share_is_looked_at_too(mail: MailFiles) -> None:
    (mail.root / "_base").mkdir()
    (mail.root / "_base" / "parts.html").write_text(
        '{% macro logo() %}\n<img src="https://example.com/a.png">{% endmacro %}'
    )

    assert found(mail) == {("_base/parts.html", 2, "image-alt")}


def test_an_image_without_alt_is_found(mail: MailFiles) -> None:
    mail.replace("body.html", "Good day.", '<img src="https://example.com/a.png">')

    assert ("greeting/body.html", 4, "image-alt") in found(mail)


@pytest.mark.parametrize(
    "template", ["{{ payload.email | safe }}", "{% autoescape false %}{{ payload.email }}{% endautoescape %}"]
)
def test_switched_off_escaping_is_found(mail: MailFiles, template: str) -> None:
    mail.replace("body.html", "Good day.", template)

    assert found(mail) == {("greeting/body.html", 4, "unescaped")}


def test_html_that_gmail_would_clip_is_found(mail: MailFiles) -> None:
    mail.replace("body.html", "Good day.", "x" * 100_000)

    assert found(mail) == {("greeting/body.html", 1, "html-size")}


@pytest.mark.parametrize(
    ("part", "without", "lacks"),
    [
        ('<html lang="en">', "<html>", "a language"),
        ("<title>Hello</title>", "<title> </title>", "a title"),
        ('<meta name="viewport" content="width=device-width">', "", "a viewport"),
    ],
)
def test_each_part_of_the_frame_is_missed(mail: MailFiles, part: str, without: str, lacks: str) -> None:
    whole = (
        '<!doctype html><html lang="en"><head><meta name="viewport" content="width=device-width">'
        "<title>Hello</title></head><body><p>Good day.</p></body></html>"
    )
    mail.write("body.html", whole)
    assert found(mail) == set()

    mail.write("body.html", whole.replace(part, without))

    assert [one.problem for one in lint(mail.root) if not one.problem.startswith(f"the HTML lacks {lacks}")] == []
    assert found(mail) == {("greeting/body.html", 1, "html-frame")}


def test_html_without_a_frame_is_found(mail: MailFiles) -> None:
    mail.write("body.html", "<p>Good day.</p>")

    assert [finding.problem.partition(" (sample")[0] for finding in lint(mail.root)][:3] == [
        "the HTML lacks a language (<html lang=…>)",
        "the HTML lacks a language (<html lang=…>)",
        "the HTML lacks a language (<html lang=…>)",
    ]
    assert {rule for _, _, rule in found(mail)} == {"html-frame"}


def test_a_library_that_is_not_there_or_empty_is_found(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    assert [finding.rule for path in ("nowhere", "empty") for finding in lint(tmp_path / path)] == ["library"] * 2


def test_every_rule_has_a_mail_here_that_trips_it_and_a_line_in_the_documentation() -> None:
    own = Path(__file__).read_text("utf-8")
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "mails.md").read_text("utf-8")

    assert [rule for rule in RULES if f'"{rule}"' not in own] == []
    assert [rule for rule, finds in RULES.items() if f"| `{rule}` | {finds} |" not in page] == []


def test_a_rule_that_nobody_could_look_up_is_refused() -> None:
    with pytest.raises(ValueError, match="got 'other'"):
        Finding(Path("a"), 1, "other", "is wrong", "mend it")
