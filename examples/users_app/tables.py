"""The application's own table, in a schema of its own beside `outbox`."""

from datetime import datetime

from sqlalchemy import Engine, MetaData, func, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Everything that belongs to the application."""

    metadata = MetaData(schema="app")


class Account(Base):
    """One user's account."""

    __tablename__ = "account"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str | None]
    locale: Mapped[str | None]
    role: Mapped[str] = mapped_column(server_default="MEMBER")
    professional: Mapped[bool] = mapped_column(server_default=text("false"))
    locked_reason: Mapped[str | None]
    # Digests: who reads this table, or a backup of it, can verify no address and reset no password.
    verification_digest: Mapped[str | None]
    reset_digest: Mapped[str | None]
    reset_expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


# Any number that is ours alone: two processes that start at once must not both create the table.
_SET_UP_LOCK = 1_718_650_113


def create_tables(engine: Engine) -> None:
    """Create what is missing. A real application has migrations; see outbox.hosts.alembic for how they get along."""
    with engine.begin() as connection:
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _SET_UP_LOCK})
        connection.execute(text("create schema if not exists app"))
        Base.metadata.create_all(connection)
