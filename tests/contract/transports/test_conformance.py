"""Our own transports pass the suite that plug-in authors get."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import AuthResult

from devstack.processes import free_port
from mailer.transports.conformance import TransportConformance
from tests.support.http_provider import ProviderServer, Say
from tests.support.scripted_smtp import ScriptedServer


class _OfAProvider(TransportConformance):
    """On a server of this machine; the errors of each provider have a module of their own."""

    scheme: str
    answer: Say

    @pytest.fixture
    def dsn(self) -> Iterator[str]:
        with ProviderServer(self.answer) as server:
            yield self._dsn(server.endpoint)

    @pytest.fixture
    def unreachable(self) -> str:
        return self._dsn(f"http%3A%2F%2F127.0.0.1%3A{free_port()}")

    @pytest.fixture
    def secrets(self) -> tuple[str, ...]:
        return ("k3y-of-nobody",)

    def _dsn(self, endpoint: str) -> str:
        login, region = ("id:k3y-of-nobody", "region=eu-central-1&") if self.scheme == "ses" else ("k3y-of-nobody", "")
        return f"{self.scheme}://{login}@default?{region}endpoint={endpoint}"


class TestNull(TransportConformance):
    @pytest.fixture
    def dsn(self) -> str:
        return "null:"

    @pytest.fixture
    def unreachable(self) -> None:
        return None

    @pytest.fixture
    def secrets(self) -> tuple[str, ...]:
        return ()


class TestConsole(TransportConformance):
    @pytest.fixture
    def dsn(self) -> str:
        return "console:"

    @pytest.fixture
    def unreachable(self) -> None:
        return None

    @pytest.fixture
    def secrets(self) -> tuple[str, ...]:
        return ()


class TestFile(TransportConformance):
    @pytest.fixture
    def dsn(self, tmp_path: Path) -> str:
        return f"file://{tmp_path}/maildir"

    @pytest.fixture
    def unreachable(self, tmp_path: Path) -> str:
        (tmp_path / "file").write_text("not a folder")
        return f"file://{tmp_path}/file/maildir"

    @pytest.fixture
    def secrets(self) -> tuple[str, ...]:
        return ()


class TestSmtpOnAScriptedServer(TransportConformance):
    @pytest.fixture
    def dsn(self) -> Iterator[str]:
        with ScriptedServer() as server:
            yield server.dsn

    @pytest.fixture
    def unreachable(self) -> str:
        return f"smtp://127.0.0.1:{free_port()}"

    @pytest.fixture
    def secrets(self) -> tuple[str, ...]:
        return ()


class TestSmtpOnAiosmtpd(TransportConformance):
    @pytest.fixture
    def dsn(self) -> Iterator[str]:
        controller = Controller(
            Sink(),
            hostname="127.0.0.1",
            port=free_port(),
            auth_require_tls=False,
            authenticator=lambda *_: AuthResult(success=True),
        )
        controller.start()
        yield f"smtp://apikey:hunter2@127.0.0.1:{controller.port}"
        controller.stop()

    @pytest.fixture
    def unreachable(self) -> str:
        return f"smtp://apikey:hunter2@127.0.0.1:{free_port()}"

    @pytest.fixture
    def secrets(self) -> tuple[str, ...]:
        return ("apikey", "hunter2")


class TestFailover(TransportConformance):
    @pytest.fixture
    def dsn(self) -> Iterator[str]:
        with ScriptedServer() as server:
            yield f"failover(smtp://u:hunter2@127.0.0.1:{free_port()} {server.dsn})"

    @pytest.fixture
    def unreachable(self) -> str:
        return f"failover(smtp://127.0.0.1:{free_port()} smtp://127.0.0.1:{free_port()})"

    @pytest.fixture
    def secrets(self) -> tuple[str, ...]:
        return ("hunter2",)


class TestResend(_OfAProvider):
    scheme, answer = "resend", Say(200, {"id": "1"})


class TestPostmark(_OfAProvider):
    scheme, answer = "postmark", Say(200, {"ErrorCode": 0, "MessageID": "1"})


class TestSes(_OfAProvider):
    scheme, answer = "ses", Say(200, {"MessageId": "1"})
