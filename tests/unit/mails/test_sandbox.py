"""Known ways out of Jinja's sandbox lead nowhere, from a template or from a value of an event."""

import os

import pytest

from mailer.errors import MailFolderError, RenderError
from mailer.rendering import Library
from tests.support.mails import MailFiles

ADA: dict[str, object] = {"email": "ada@example.com", "name": "Ada"}

ESCAPES = [
    # The classic: from any object to `object`, and down to every class that is loaded.
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ().__class__.__base__.__subclasses__() }}",
    "{{ payload['__class__'] }}",
    "{{ payload.name['__class__'] }}",
    "{{ (1).__class__ }}",
    # By what Jinja itself puts into every template.
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ cycler.__init__.__globals__['os'].popen('id').read() }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{% macro m() %}{% endmacro %}{{ m.__init__.__globals__ }}",
    "{% macro m() %}{% endmacro %}{{ m._environment }}",
    # str.format and its relatives: CVE-2016-10745, CVE-2019-10906.
    "{{ '{0.__class__}'.format(payload) }}",
    "{{ '{a.__class__}'.format_map({'a': payload}) }}",
    # A reference to format that is called later, CVE-2024-56326.
    "{% set f = '{0.__class__}'.format %}{{ f(payload) }}",
    "{% macro call(f) %}{{ f(payload) }}{% endmacro %}{{ call('{0.__class__}'.format) }}",
    "{% set f = '{a.__class__}'.format_map %}{{ f({'a': payload}) }}",
    # The filter attr, CVE-2025-27516.
    "{{ ('{0.__class__}' | attr('format'))(payload) }}",
    "{{ ('{a.__class__}' | attr('format_map'))({'a': payload}) }}",
    "{{ payload | attr('__class__') }}",
    "{{ '' | attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    # Filters that look an attribute up.
    "{{ [payload.name] | map(attribute='__class__') | first }}",
    "{{ [payload.name] | map(attribute='__class__.__base__') | list }}",
    "{{ [payload.name] | map('attr', '__class__') | first }}",
    "{{ [payload.name, payload.email] | sort(attribute='__class__') }}",
    "{{ ([payload.name] | groupby('__class__') | first).grouper }}",
    "{{ [payload.name] | sum(attribute='__class__') }}",
    "{{ [payload.name] | unique(attribute='__class__') | list }}",
    # What changes something: a value of this mail would be in the next.
    "{{ brand.update({'product': 'x'}) }}",
    "{{ brand.clear() }}",
    "{{ payload.setdefault('a', 1) }}",
    "{{ payload.__setitem__('a', 1) }}",
    "{% set _ = [].append(1) %}",
    # Files of others, CVE-2024-56201 and simpler ones.
    "{% include '/etc/passwd' %}",
    "{% include '../../../../etc/passwd' %}",
    "{% import 'os' as os %}{{ os }}",
    "{% extends payload.name %}",
    # So much that the worker would be lost.
    "{{ range(999999999) | list }}",
    # Names of other frameworks, and of Python's.
    "{{ config }}{{ request }}{{ url_for.__globals__ }}",
    "{{ __import__('os').system('id') }}",
    "{{ open('/etc/passwd').read() }}",
]  # fmt: skip
PLACES = ("subject.txt", "body.txt", "body.html")


@pytest.mark.parametrize("escape", ESCAPES)
@pytest.mark.parametrize("file", PLACES)
def test_a_template_gets_out_nowhere(mail: MailFiles, file: str, escape: str) -> None:
    mail.write(file, escape)

    with pytest.raises((RenderError, MailFolderError)):
        mail.render(ADA)

    assert Library.load(mail.root).sources.brand["product"] == "Example"


@pytest.mark.parametrize(
    "escape", [*ESCAPES, "{{ 7 * 191 }}", "{% raw %}", "{# c #}", "${7*191}", "#{7*191}", "<%= 7*191 %>"]
)
def test_a_value_of_an_event_is_shown_as_it_is_wherever_it_stands(mail: MailFiles, escape: str) -> None:
    shown = "{{ payload.reason }}"
    mail.write("subject.txt", shown)
    mail.write("body.txt", '{% extends "_base/layout.txt" %}{% block content %}' + shown + "{% endblock %}")
    button = '{% from "_base/parts.html" import facts %}' + shown + '{{ facts([("what", payload.reason)]) }}'
    mail.write("body.html", '{% extends "_base/layout.html" %}{% block content %}' + button + "{% endblock %}")

    rendered = mail.render(ADA | {"reason": escape, escape: escape, "name": escape})

    assert rendered.subject == escape
    assert escape in rendered.text
    assert "1337" not in f"{rendered.subject}{rendered.text}{rendered.html}"
    for leak in ("<class", "&lt;class", f"uid={os.getuid()}", "root:x:0"):
        assert leak not in f"{rendered.subject}{rendered.text}{rendered.html}"


@pytest.mark.parametrize("escape", ESCAPES)
def test_a_value_that_says_who_gets_the_mail_is_no_template_either(mail: MailFiles, escape: str) -> None:
    library = Library.load(mail.root)
    event = {"type": "user.greeted", "event_id": "1", "payload": ADA | {"locale": escape}}

    _, locale = library.recipient_and_locale(library.folder("greeting").mail, event)

    assert locale == "en"
