"""The service with a certificate of its own: self-signed, made here."""

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from clarity.inference.bundle import Bundle
from tests import tiny
from tests.serving.live import serving


def self_signed(folder: Path) -> tuple[Path, Path]:
    """(certificate, key) for 127.0.0.1, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "clarity")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files = folder / "cert.pem", folder / "key.pem"
    for file, data in zip(files, (certificate.public_bytes(pem), key.private_bytes(pem, *plain)), strict=True):
        file.write_bytes(data)
    return files


def test_it_speaks_tls_to_who_knows_its_certificate_and_to_nobody_else(bundle: Bundle, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    told = {"CLARITY_TLS_CERTIFICATE": str(certificate), "CLARITY_TLS_KEY": str(key)}
    with serving(tmp_path / "home", "--bundle", str(bundle.path), **told) as live:
        assert live.url.startswith("https://")
        knows = ssl.create_default_context(cafile=str(certificate))
        with httpx.Client(base_url=live.url, verify=knows, timeout=60) as client:
            answer = client.post("/v1/predict", files={"image": tiny.jpeg(tiny.eye())})
            assert answer.status_code == 200 and "strict-transport-security" in answer.headers
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{live.url}/health")
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{live.url.replace('https', 'http')}/health")
