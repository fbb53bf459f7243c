"""What every long-running process of ours does alike: settings, logs, health and metrics, signals, first connections.

In come the environment and `outbox.toml`; out go one frozen settings model, log lines on stderr and an exit code.
Knows neither relay nor mailer: each brings its own settings model and registry of metrics.
"""
