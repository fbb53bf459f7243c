import pytest

from outbox.envelope_conformance import EnvelopeConformance


class TestCloudEventsBinary(EnvelopeConformance):
    @pytest.fixture
    def name(self) -> str:
        return "cloudevents-binary"


class TestCloudEventsStructured(EnvelopeConformance):
    @pytest.fixture
    def name(self) -> str:
        return "cloudevents-structured"


class TestDebezium(EnvelopeConformance):
    @pytest.fixture
    def name(self) -> str:
        return "debezium"
