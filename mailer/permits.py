"""Permits: how a lane's workers learn that there is something to do, without the broker learning what.

A permit is a row and a Celery task with the row's id. The rows cap how many tasks are in the broker; a row whose task
was lost is forgotten after a while, and another is issued.
"""

from collections.abc import Callable, Mapping
from uuid import UUID

from mailer.database import Database
from mailer.telemetry import logger

Publish = Callable[[str, UUID], None]


class Permits:
    """Issues permits, under a cap a lane."""

    def __init__(self, database: Database, publish: Publish, *, cap: int, claim: int) -> None:
        """Send permits by *publish*, for *claim* deliveries each; *cap* is how many of a lane may be outstanding."""
        self._database = database
        self._publish = publish
        self._cap = cap
        self._claim = claim

    def issue(self, due: Mapping[str, int]) -> int:
        """Issue what the *due* deliveries of each lane need beyond what is outstanding; return how many were sent."""
        wanted = {lane: min(self._cap, -(-count // self._claim)) for lane, count in due.items() if count}
        if not wanted:
            return 0
        arguments = {"lanes": list(wanted), "wanted": list(wanted.values()), "cap": self._cap}
        issued = [(row["id"], row["lane"]) for row in self._database.rows("issue_permits", arguments)]
        return self._send(issued)

    def _send(self, issued: list[tuple[UUID, str]]) -> int:
        for sent, (permit, lane) in enumerate(issued):
            try:
                self._publish(lane, permit)
            except Exception as error:  # noqa: BLE001 - any broker's any error: the mail waits, and the sweeper comes again
                logger().warning("mailer.permit.publish_failed", lane=lane, error=type(error).__name__)
                for unsent, _ in issued[sent:]:
                    self._database.rows("take_permit", {"id": unsent})
                return sent
            logger().debug("mailer.permit.issued", lane=lane)
        return len(issued)
