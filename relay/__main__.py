"""`python -m relay run|drain`: the same as `outbox relay`, for where only the relay is installed."""

from relay.commands import app

if __name__ == "__main__":
    app()
