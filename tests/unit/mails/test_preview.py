"""The preview shows every mail with every sample in every language, and nothing else."""

import re

import pytest

from mailer.preview import page, stamp
from tests.support.mails import MailFiles


def test_the_first_page_links_every_mail_sample_and_language(mail: MailFiles) -> None:
    for file in ("subject.txt", "body.txt", "body.html"):
        mail.write(f"de/{file}", (mail.folder / file).read_text())

    shown = page(mail.root, "/").content.decode()

    for sample in ("typical", "longest"):
        for locale in ("en", "de"):
            assert f'href="/greeting/{sample}/{locale}"' in shown


def test_a_case_shows_subject_text_and_frames_for_phone_and_desktop(mail: MailFiles) -> None:
    shown = page(mail.root, "/greeting/typical/en")

    assert shown.status == 200
    assert "Hello Ada" in shown.content.decode()
    assert shown.content.decode().count('src="/greeting/typical/en.html"') == 3
    for label in ("phone, 375 px<", "phone, 375 px, dark", "desktop, 700 px", "text<", "source: the message"):
        assert label in shown.content.decode()
    assert "Auto-Submitted: auto-generated" in shown.content.decode()


def test_a_case_leads_to_the_other_samples_and_languages(mail: MailFiles) -> None:
    for file in ("subject.txt", "body.txt", "body.html"):
        mail.write(f"de/{file}", (mail.folder / file).read_text())

    shown = page(mail.root, "/greeting/typical/de").content.decode()

    assert 'href="/greeting/longest/de"' in shown
    assert 'href="/greeting/typical/en"' in shown


def test_values_and_names_of_files_are_escaped_on_our_own_page(mail: MailFiles) -> None:
    mail.replace("body.txt", "Good day.", "</pre><script>alert(1)</script>")

    shown = page(mail.root, "/greeting/typical/en")

    assert "<script>alert" not in shown.content.decode()
    [nonce] = re.findall(r"script-src 'nonce-([\w-]{20,})'", shown.policy)
    assert shown.content.decode().count("<script") == shown.content.decode().count(f'<script nonce="{nonce}"') == 1
    assert nonce not in page(mail.root, "/greeting/typical/en").policy


@pytest.mark.parametrize(
    "file", ["greeting/body.txt", "greeting/samples/typical.json", "greeting/new.txt", "_base/x.html"]
)
def test_the_stamp_is_another_as_soon_as_a_file_is(mail: MailFiles, file: str) -> None:
    before = stamp(mail.root)
    assert stamp(mail.root) == before

    (mail.root / file).parent.mkdir(exist_ok=True)
    (mail.root / file).write_text("changed")

    assert stamp(mail.root) != before


@pytest.mark.parametrize(
    ("ending", "kind", "part"),
    [
        (".html", "text/html", "<!DOCTYPE html>"),
        (".txt", "text/plain", "Hello Ada,"),
        (".eml", "text/plain", "To: ada"),
    ],
)
def test_each_part_is_served_by_itself_and_may_load_nothing(mail: MailFiles, ending: str, kind: str, part: str) -> None:
    served = page(mail.root, f"/greeting/typical/en{ending}")

    assert (served.status, served.content_type) == (200, kind)
    assert part in served.content.decode()
    assert "default-src 'none'" in served.policy
    assert "sandbox" in served.policy


@pytest.mark.parametrize(
    "url",
    [
        "/nope/typical/en",
        "/greeting/nope/en",
        "/greeting/typical/fr",
        "/greeting",
        "/..%2f..%2fetc/passwd/en",
        "/a/b/c/d",
    ],
)
def test_what_is_not_there_is_not_found(mail: MailFiles, url: str) -> None:
    assert page(mail.root, url).status == 404


def test_a_mistake_is_shown_in_the_browser_and_its_repair_at_the_next_request(mail: MailFiles) -> None:
    mail.replace("body.txt", "Good day.", "{{ payload.nope }}")

    wrong = page(mail.root, "/greeting/typical/en")

    assert wrong.status == 422
    assert "body.txt:3: &#39;nope&#39; is undefined" in wrong.content.decode()

    mail.replace("body.txt", "{{ payload.nope }}", "Good day.")

    assert page(mail.root, "/greeting/typical/en").status == 200
