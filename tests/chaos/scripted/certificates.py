"""The certificates of the scripted mail server: the one in `tests/support/tls`, and one that nobody trusts."""

import shutil
import ssl
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.chaos.scripted.server import Certificates

_OURS = Path(__file__).parents[2] / "support" / "tls"
# What the client is told to trust, in the folder of the run.
TRUSTED = "trusted.pem"
_LONG_AGO, _FAR_AHEAD = datetime(2020, 1, 1), datetime(2120, 1, 1)  # noqa: DTZ001 - X.509's own form


def made(folder: Path) -> Certificates:
    """Return both; what is to be trusted is written into *folder*."""
    shutil.copy(_OURS / "certificate.pem", folder / TRUSTED)
    _write_stranger(folder / "stranger.pem")
    return Certificates(
        right=_context(_OURS / "certificate.pem", _OURS / "key.pem"),
        wrong=_context(folder / "stranger.pem", folder / "stranger.pem"),
    )


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def _write_stranger(path: Path) -> None:
    """Write a certificate for the same name, by a key of its own, with that key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(_LONG_AGO)
        .not_valid_after(_FAR_AHEAD)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
