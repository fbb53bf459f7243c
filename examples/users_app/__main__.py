"""Serve the application: `DATABASE_URL=postgresql://… python -m examples.users_app --port 8000`.

With other options of uvicorn: `uvicorn --factory examples.users_app.__main__:application`.
"""

import argparse
import os

import uvicorn
from fastapi import FastAPI

from examples.users_app.app import Settings, create_app


def application() -> FastAPI:
    """Return the application as the environment sets it."""
    return create_app(Settings.from_env(os.environ))


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="examples.users_app", description="A host application of the outbox.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    uvicorn.run(application(), host=arguments.host, port=arguments.port)


if __name__ == "__main__":
    main()
