"""``clarity export``: outcomes for other systems."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add this group's commands to the application."""
    app.command()(export)


def export(
    form: Annotated[str, typer.Option("--format", help="csv, parquet, or fhir (R4, a resource a line).")],
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Written or reviewed on that day (UTC) or later.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File; standard output by default.")] = None,
    model_version: Annotated[
        str | None, typer.Option(help="All outcomes of one version; by default those that stand.")
    ] = None,
) -> None:
    """Outcomes as CSV, Parquet or FHIR R4: a visit a row or a DiagnosticReport, with its policy and model version."""
    import sys

    from clarity.screening.export.write import FORMATS, write
    from clarity.settings import Settings
    from clarity.storage import database

    if form not in FORMATS:
        raise typer.BadParameter(f"{form!r}: not one of {', '.join(FORMATS)}", param_hint="--format")
    if out is None and form == "parquet" and sys.stdout.isatty():
        raise typer.BadParameter("parquet is not for a screen: give a file", param_hint="--out")
    day = since.replace(tzinfo=UTC) if since else None
    engine = database.engine(Settings.load().need("database_url"))
    try:
        if out is None:
            number = write(engine, form, sys.stdout.buffer, since=day, model_version=model_version)
        else:
            with _whole(out) as file:
                number = write(engine, form, file, since=day, model_version=model_version)
    finally:
        engine.dispose()
    typer.echo(f"{number} visit{'' if number == 1 else 's'}{f' in {out}' if out else ''}", err=True)


@contextmanager
def _whole(out: Path) -> Iterator[IO[bytes]]:
    """A file that is there whole or not at all, readable by its owner only: it tells of people's health."""
    import os
    import tempfile

    from clarity.errors import ExportError

    try:
        number, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
    except OSError as error:
        raise ExportError(f"{out}: {error.strerror}, cannot be written") from None
    try:
        with os.fdopen(number, "wb") as file:
            yield file
        Path(name).replace(out)
    except OSError as error:
        raise ExportError(f"{out}: {error.strerror}, cannot be written") from None
    finally:
        Path(name).unlink(missing_ok=True)
