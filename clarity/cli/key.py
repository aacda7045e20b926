"""``clarity key create | list | revoke``: who may call the online service, and for what."""

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from clarity.storage.access import Key

_SCOPES = "predict, read, review or admin (repeat the option); admin has all."


def register(app: typer.Typer) -> None:
    """Add this group's commands to the application."""
    key = typer.Typer(no_args_is_help=True, help="API keys of the online service.")
    key.command()(create)
    key.command("list")(list_)
    key.command()(revoke)
    app.add_typer(key, name="key")


def create(
    name: Annotated[str, typer.Argument(help="An app, a camera, or a reviewer's pseudonymous id: no person's name.")],
    scope: Annotated[list[str], typer.Option("--scope", help=_SCOPES)],
    expires: Annotated[str, typer.Option(help="Days from now, or the first day (UTC) it counts no more.")] = "",
    rate: Annotated[int | None, typer.Option(help="Requests a minute; serving.rate_per_minute by default.")] = None,
) -> None:
    """Make a key and print it, this once: only its hash is kept."""
    from clarity import params
    from clarity.access import keys
    from clarity.settings import Settings

    at = _moment(expires, datetime.now(UTC))
    project = Settings.load().project
    per_minute = rate if rate is not None else params.load(project / "conf/pipeline.yaml").serving.rate_per_minute
    engine = _engine()
    try:
        key, text = keys.make(engine, name, scope, rate_per_minute=per_minute, expires_at=at)
    finally:
        engine.dispose()
    until = f"until {at:%Y-%m-%d %H:%M} UTC" if at else "until it is revoked"
    typer.echo(f"key {key.id}: {', '.join(key.scopes)}, {key.rate_per_minute} requests a minute, {until}", err=True)
    typer.echo("It is shown this once:", err=True)
    typer.echo(text)


def list_() -> None:
    """All keys, without what opens anything."""
    from rich.console import Console
    from rich.table import Table

    from clarity.access import keys

    engine = _engine()
    try:
        found = keys.every(engine)
    finally:
        engine.dispose()
    table = Table("id", "name", "scopes", "a minute", "made", "counts")
    now = datetime.now(UTC)
    for key in found:
        made = f"{key.created_at:%Y-%m-%d}" if key.created_at else ""
        table.add_row(key.id, key.name, ", ".join(key.scopes), str(key.rate_per_minute), made, _state(key, now))
    Console(markup=False).print(table)


def revoke(id: Annotated[str, typer.Argument(help="Of `clarity key list`.")]) -> None:
    """Let a key count no more: the service refuses it within 5 seconds."""
    from clarity.access import keys

    engine = _engine()
    try:
        key = keys.revoke(engine, id)
    finally:
        engine.dispose()
    typer.echo(f"key {key.id} ({key.name}): revoked on {key.revoked_at:%Y-%m-%d %H:%M} UTC")


def _moment(said: str, now: datetime) -> datetime | None:
    """When a key ends: after some days, or at the start of a day in UTC."""
    if not said:
        return None
    try:
        if said.isdecimal():
            at = now + timedelta(days=int(said))
        else:
            at = datetime.combine(date.fromisoformat(said), datetime.min.time(), UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{said!r}: neither days nor a date as 2027-01-31", param_hint="--expires") from None
    if at <= now:
        raise typer.BadParameter(f"{said}: is over already", param_hint="--expires")
    return at


def _state(key: "Key", now: datetime) -> str:
    if key.revoked_at is not None:
        return f"revoked {key.revoked_at:%Y-%m-%d}"
    if key.expires_at is None:
        return "yes"
    return f"{'until' if key.expires_at > now else 'expired'} {key.expires_at:%Y-%m-%d}"


def _engine() -> "Engine":
    from clarity.settings import Settings
    from clarity.storage import database

    return database.engine(Settings.load().need("database_url"))
