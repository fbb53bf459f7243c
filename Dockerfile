# One image for every process of the outbox: relay, consumer, worker, sweeper, console and the one-shot migration.
# Built from the locks, hashes checked; runs as a user without a name, a home or a writable root.
FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python3 -m venv /venv && python3 -m venv /build
WORKDIR /src
COPY requirements-runtime.lock requirements-build.lock ./
RUN /venv/bin/pip install --require-hashes -r requirements-runtime.lock \
 && /build/bin/pip install --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY outbox outbox
COPY runtime runtime
COPY relay relay
COPY mailer mailer
COPY console console
COPY devstack devstack
COPY migrations migrations
COPY templates templates
RUN /build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /venv/bin/pip install --no-deps /wheels/*.whl

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin outbox
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
USER 10001:10001
WORKDIR /tmp
STOPSIGNAL SIGTERM
ENTRYPOINT ["outbox"]
CMD ["--help"]
