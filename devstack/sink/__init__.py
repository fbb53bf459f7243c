"""A mail server for the demo and the tests: it takes every mail, sends none on, and shows them in a browser.

In: SMTP on 127.0.0.1, and scripts that say which reply a recipient gets. Out: the mails, as objects
(`Sink.messages()`), as pages and as JSON. A mail's HTML is shown in a sandboxed frame under a policy that forbids
scripts and loading.
"""

from devstack.sink.mailbox import Mail
from devstack.sink.receiver import Options
from devstack.sink.script import Phase, ScriptError
from devstack.sink.server import Sink

__all__ = ["Mail", "Options", "Phase", "ScriptError", "Sink"]
