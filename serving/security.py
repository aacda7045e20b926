"""Headers that keep a browser from doing with an answer what it is not for; CORS as configured."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Scope

_PLAIN = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",  # records; and what is none costs little to ask for again
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_TLS_ONLY = {"Strict-Transport-Security": "max-age=31536000"}
_CORS: dict[str, Any] = {
    "allow_methods": ["GET", "POST", "PATCH", "DELETE"],
    "allow_headers": ["Authorization", "X-API-Key", "Content-Type", "Idempotency-Key"],
    "expose_headers": ["X-Request-Id", "Retry-After"],
    "max_age": 600,
}


def headers(scope: Scope) -> dict[str, str]:
    """Of every answer, unless its route said otherwise."""
    return _PLAIN | _TLS_ONLY if scope["scheme"] == "https" else _PLAIN


def page(scripts: Sequence[str]) -> str:
    """The Content-Security-Policy of a page of this service. ``scripts``: SHA-256, base64, of those that stand in it.

    What it loads, it loads from here. Swagger UI sets styles in its elements.
    """
    inline = "".join(f" 'sha256-{script}'" for script in scripts)
    return (
        f"default-src 'none'; script-src 'self'{inline}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def add_cors(app: FastAPI, origins: Sequence[str]) -> None:
    """Let pages of these origins call the API; none by default. Without credentials: a page has to know a key."""
    if origins:
        app.add_middleware(CORSMiddleware, allow_origins=list(origins), **_CORS)
