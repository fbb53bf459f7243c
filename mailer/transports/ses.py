"""Amazon SES, by its API v2: `ses://ACCESS-KEY:SECRET@default?region=eu-central-1`, or `ses://default` with a role.

botocore signs the requests and finds credentials as every AWS tool does (environment, profile, container, instance). It
retries nothing: SES has no idempotency key, so a request whose answer is lost leaves the message in doubt. The message
goes raw, as it was composed; SES puts a Message-ID of its own in place of ours.
Source: https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html and …/CommonErrors.html.
"""

import re
from collections.abc import Mapping
from typing import Any

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProxyConnectionError,
    SSLError,
)
from botocore.session import Session

from mailer.reply import OutgoingMessage, Phase, Reply, accepted, unanswered
from mailer.transports.dsn import Dsn
from mailer.transports.http_api import HTTP_OPTIONS, Equivalent, endpoint_of, lost, refusal, refused_as
from mailer.transports.message_fields import delivery_name

_REGION = re.compile(r"[a-z]{2}(?:-[a-z0-9]+)+-\d")
_OPTIONS = ("region", "configuration_set", "session_token")
_ACCOUNT = Equivalent(Phase.AUTH, 535, "5.7.8")
_SENDER = Equivalent(Phase.MAIL, 550, "5.1.8")
_RATE = Equivalent(Phase.MAIL, 429, "4.7.28")
_ERRORS: Mapping[str, Equivalent] = {
    "AccountSuspendedException": _ACCOUNT,
    "SendingPausedException": _ACCOUNT,
    "AccessDeniedException": _ACCOUNT,
    "ExpiredTokenException": _ACCOUNT,
    "IncompleteSignature": _ACCOUNT,
    "InvalidClientTokenId": _ACCOUNT,
    "InvalidSignatureException": _ACCOUNT,
    "MissingAuthenticationTokenException": _ACCOUNT,
    "OptInRequired": _ACCOUNT,
    "SignatureDoesNotMatch": _ACCOUNT,
    "UnrecognizedClientException": _ACCOUNT,
    "MailFromDomainNotVerifiedException": _SENDER,
    "MessageRejected": Equivalent(Phase.DOT, 554, "5.6.0"),
    "BadRequestException": Equivalent(Phase.DOT, 400, "5.6.0"),
    "NotFoundException": Equivalent(Phase.EHLO, 554, "5.5.1"),
    "LimitExceededException": _RATE,
    "TooManyRequestsException": _RATE,
    "ThrottlingException": _RATE,
    "RequestExpired": Equivalent(Phase.AUTH, 535, "5.7.8"),
}
# MessageRejected is also what an unverified sender gets, and whoever writes to strangers from the sandbox.
_NOT_VERIFIED = re.compile(r"not verified", re.IGNORECASE)


class SesTransport:
    """The transport of `ses://`."""

    def __init__(self, dsn: Dsn) -> None:
        """Read *dsn*; nothing is connected, and no credentials are looked for, before the first message."""
        dsn.only(*HTTP_OPTIONS, *_OPTIONS)
        region = dsn.options.get("region", "")
        if not _REGION.fullmatch(region):
            dsn.refuse(f"expected region to be an AWS region, got {region!r}", fix="add ?region=eu-central-1, or yours")
        if (dsn.user is None) != (dsn.password is None):
            dsn.refuse(
                "expected an access key and its secret, or neither", fix="write ses://KEY:SECRET@default?region=…"
            )
        self.name = dsn.name
        self.max_connections = int(dsn.number("max_connections", default=8, least=1, most=1000))
        self._configuration_set = dsn.options.get("configuration_set")
        self._client = _client(dsn, region, self.max_connections)

    def __repr__(self) -> str:
        """Return the transport's name; keys are not shown."""
        return f"SesTransport({self.name!r})"

    @property
    def children(self) -> "tuple[SesTransport, ...]":
        """Return this one alone."""
        return (self,)

    def send(self, message: OutgoingMessage) -> Reply:
        """Return what came of one request."""
        try:
            answer = self._client.send_email(**self._request(message))
        except ClientError as error:
            return self._refusal(error, message)
        except BotoCoreError as error:
            return self._failed(error, message)
        except (AttributeError, TypeError, ValueError) as error:
            # What botocore's parser makes of an answer that is JSON and not SES's.
            return lost(self.name, Phase.DOT, error, message)
        if not (taken_as := answer.get("MessageId")):
            # botocore passes an answer on that was cut short, or is a gateway's.
            text = "HTTP 200 without SES's answer"
            return unanswered(self.name, Phase.DOT, text=text, recipient=message.recipient)
        text = f"SES took it as {taken_as}"
        return accepted(self.name, code=200, text=text, recipient=message.recipient)

    def close(self) -> None:
        """Close every connection; a later `send` opens new ones."""
        self._client.close()

    def _request(self, message: OutgoingMessage) -> dict[str, object]:
        request: dict[str, object] = {
            "FromEmailAddress": message.sender,
            "Destination": {"ToAddresses": [message.recipient]},
            "Content": {"Raw": {"Data": message.content}},
            # Its notifications bring it back; our Message-ID does not survive.
            "EmailTags": [{"Name": "delivery", "Value": delivery_name(message)}],
        }
        if self._configuration_set:
            request["ConfigurationSetName"] = self._configuration_set
        return request

    def _failed(self, error: BotoCoreError, message: OutgoingMessage) -> Reply:
        kind = type(error).__name__
        match error:
            case NoCredentialsError() | PartialCredentialsError():
                return refused_as(_ACCOUNT, self.name, message, text=f"no credentials: {kind}")
            case ParamValidationError():
                return refused_as(Equivalent(Phase.DATA, 554, "5.6.0"), self.name, message, text=kind)
            case ConnectTimeoutError() | EndpointConnectionError() | ProxyConnectionError() | SSLError():
                return lost(self.name, Phase.CONNECT, error, message)
            case _:
                return lost(self.name, Phase.DOT, error, message)

    def _refusal(self, error: ClientError, message: OutgoingMessage) -> Reply:
        said = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code, words = str(said.get("Code", "")), str(said.get("Message", ""))
        known = _ERRORS.get(code)
        if code == "MessageRejected" and _NOT_VERIFIED.search(words):
            known = _SENDER
        return refusal(self.name, message, status=status, known=known, said=f"{code} {words}")


def _client(dsn: Dsn, region: str, connections: int) -> Any:  # noqa: ANN401 - botocore makes its clients at run time
    config = Config(
        max_pool_connections=connections,
        connect_timeout=dsn.number("connect_timeout_seconds", default=10, least=0.1, most=300),
        read_timeout=dsn.number("timeout_seconds", default=30, least=0.1, most=600),
        # A retry after a lost answer would be a second mail.
        retries={"total_max_attempts": 1, "mode": "standard"},
    )
    return Session().create_client(
        "sesv2",
        region_name=region,
        endpoint_url=endpoint_of(dsn, default="https://default") if "endpoint" in dsn.options else None,
        aws_access_key_id=dsn.user,
        aws_secret_access_key=dsn.password,
        aws_session_token=dsn.options.get("session_token"),
        config=config,
    )
