"""Our own transports pass the suite that plug-in authors get."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import AuthResult

from devstack.processes import free_port
from mailer.transports.conformance import TransportConformance
from tests.support.scripted_smtp import ScriptedServer


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
