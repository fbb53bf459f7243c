"""The application, put together from its settings."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from fastapi import FastAPI
from sqlalchemy import create_engine, make_url
from sqlalchemy.orm import sessionmaker

from examples.users_app.routes import router
from examples.users_app.tables import create_tables


@dataclass(frozen=True)
class Settings:
    """What the application is told by its environment."""

    database_url: str
    # Where the links in its mails lead.
    public_url: str = "https://users.example.com"

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Return the settings in *env*: DATABASE_URL, and PUBLIC_URL where it differs."""
        if not env.get("DATABASE_URL"):
            raise ValueError("expected DATABASE_URL to be postgresql://…, got nothing")
        return cls(
            database_url=env["DATABASE_URL"],
            public_url=env.get("PUBLIC_URL", cls.public_url).rstrip("/"),
        )


def create_app(settings: Settings) -> FastAPI:
    """Return the application; it creates its tables when it starts, and closes its connections when it stops."""
    engine = create_engine(make_url(settings.database_url).set(drivername="postgresql+psycopg"), pool_pre_ping=True)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        create_tables(engine)
        yield
        engine.dispose()

    app = FastAPI(title="User management", summary="A host application of the outbox", lifespan=lifespan)
    app.state.sessions = sessionmaker(engine)
    app.state.public_url = settings.public_url
    app.include_router(router)
    return app
