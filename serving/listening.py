"""Where the service listens, with which certificate, and how it is told to stop."""

import os
import signal
import socket

from clarity.errors import SettingsError
from clarity.settings import Settings

LOOPBACK = "127.0.0.1"
_STOPS = (signal.SIGTERM, signal.SIGINT)
_HOSTS = (LOOPBACK, "0.0.0.0", "::")  # noqa: S104 - what LitServe can listen on; loopback unless said otherwise


def address(host: str, port: int, *, open_: bool) -> tuple[str, int]:
    """An address that can be listened on; port 0 becomes a free one. ``open_``, without keys, is loopback only.

    Raises SettingsError.
    """
    if host not in _HOSTS:
        raise SettingsError(f"host {host!r}: cannot be listened on, one of {', '.join(_HOSTS)}")
    if open_ and host != LOOPBACK:
        raise SettingsError(f"host {host}: not loopback, so it is not served --open, without keys")
    if port and port < 1024:
        raise SettingsError(f"port {port}: reserved for the system, take one from 1024 or 0 for any free one")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            raise SettingsError(f"{host}:{port}: {error.strerror}, choose another port") from None
        return host, int(trial.getsockname()[1])


def tls(settings: Settings) -> dict[str, str]:
    """What uvicorn is to be told of the certificate; nothing where a proxy does TLS. Raises SettingsError."""
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None and key is None:
        return {}
    if certificate is None or key is None:
        missing = "CLARITY_TLS_CERTIFICATE" if certificate is None else "CLARITY_TLS_KEY"
        raise SettingsError(f"{missing}: not set, a certificate and its key come together")
    for name, file in (("CLARITY_TLS_CERTIFICATE", certificate), ("CLARITY_TLS_KEY", key)):
        if not os.access(file, os.R_OK):
            raise SettingsError(f"{name}: {file}, cannot be read")
    return {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}


def stop_on_signals() -> None:
    """Stop gracefully on SIGTERM as on Ctrl-C, which is all that LitServe knows. Its forked children only end."""
    server = os.getpid()

    def stop(_signal: int, _frame: object) -> None:
        if os.getpid() == server:
            raise KeyboardInterrupt
        for number in _STOPS:  # Ctrl-C comes from the terminal and then, as SIGTERM, from the server: once ends it
            signal.signal(number, signal.SIG_IGN)
        raise SystemExit(0)

    for number in _STOPS:
        signal.signal(number, stop)
