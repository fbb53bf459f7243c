"""The sink seen from another process: its mails and scripts over HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass

import httpx


@dataclass(frozen=True, slots=True)
class Received:
    """What the sink knows of a mail without its bodies."""

    recipients: tuple[str, ...]
    subject: str
    message_id: str


class SinkClient:
    """Asks the sink at *http_url*."""

    def __init__(self, http_url: str) -> None:
        """Prepare to ask; nothing is sent yet."""
        self._http = httpx.Client(base_url=http_url, timeout=300, trust_env=False)  # a list of thousands takes a while

    def messages(self, *, recipient: str | None = None) -> list[Received]:
        """Return the mails, oldest first, of *recipient* or of everybody."""
        answer = self._http.get("/api/mails", params={"recipient": recipient} if recipient else {})
        answer.raise_for_status()
        return [
            Received(tuple(mail["recipients"]), mail["subject"], mail["message_id"] or "")
            for mail in answer.json()["mails"]
        ]

    def script(self, recipient: str, replies: Sequence[str], *, phase: str = "rcpt") -> None:
        """Have the sink answer *replies* to *recipient* at *phase*, one after the other; the last one repeats."""
        answer = self._http.post(
            "/api/scripts", json={"recipient": recipient, "replies": list(replies), "phase": phase}
        )
        answer.raise_for_status()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()
