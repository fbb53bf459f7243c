"""Settings of the commands that an operator uses: `OUTBOX_CONSOLE_…`, over outbox.toml, over these defaults."""

from pydantic import Field, SecretStr

from runtime.settings import DatabaseSettings, KafkaOptions


class ConsoleSettings(DatabaseSettings):
    """What a command of the console is told; Kafka only where the question is Kafka's."""

    kafka_bootstrap: str | None = Field(None, min_length=1, description="Kafka's brokers, as `host:port,host:port`.")
    kafka_options: KafkaOptions = Field(default_factory=dict, description="Options for librdkafka, as for the relay.")
    console_host: str = Field(
        "127.0.0.1", description="Address of the web console; another than this machine's own needs a password."
    )
    console_port: int = Field(8321, ge=0, le=65535, description="Port of the web console; 0 takes a free one.")
    console_user: str = Field("operator", min_length=1, description="User of the web console's basic authentication.")
    console_password: SecretStr | None = Field(
        None, description="Password of the web console; without one it only reads, and only on this machine."
    )
