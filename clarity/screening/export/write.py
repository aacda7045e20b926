"""Every format by its name."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from typing import IO

from sqlalchemy import Engine

from clarity.errors import ExportError
from clarity.storage import database, outgoing
from clarity.storage.outgoing import VisitRow

FORMATS: tuple[str, ...] = ("csv", "parquet", "fhir")


def write(
    engine: Engine, form: str, out: IO[bytes], *, since: datetime | None = None, model_version: str | None = None
) -> int:
    """Write outcomes as CSV, Parquet or FHIR R4 ndjson; how many visits. Raises ExportError, StorageError."""
    if form not in FORMATS:
        raise ExportError(f"format {form!r}: not one of {', '.join(FORMATS)}")
    with (
        database.session(engine) as session,
        closing(outgoing.stream(session, since=since, model_version=model_version)) as found,
    ):
        rows = _Counted(found)
        if form == "parquet":
            from clarity.screening.export import parquet

            parquet.write(rows, out)
        else:
            for line in _lines(form, rows):
                out.write(line.encode())
    return rows.number


def _lines(form: str, rows: Iterator[VisitRow]) -> Iterator[str]:
    if form == "csv":
        from clarity.screening.export import csv

        return csv.lines(rows)
    from clarity.screening.export import fhir

    return fhir.lines(rows)


class _Counted(Iterator[VisitRow]):
    def __init__(self, rows: Iterator[VisitRow]) -> None:
        self._rows, self.number = rows, 0

    def __next__(self) -> VisitRow:
        row = next(self._rows)
        self.number += 1
        return row
