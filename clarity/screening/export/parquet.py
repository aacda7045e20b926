"""Parquet with typed columns, written a row group at a time."""

from collections.abc import Iterable
from itertools import islice
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from clarity.screening.export import flat
from clarity.storage.outgoing import VisitRow

_GROUP = 10_000
"""Rows of one row group: what is in memory at once."""
_TIME = pa.timestamp("us", tz="UTC")
_TYPES = {
    "visited_on": pa.date32(),
    "due_on": pa.date32(),
    "priority": pa.int8(),
    "worst_grade": pa.int8(),
    "left_grade": pa.int8(),
    "right_grade": pa.int8(),
    "not_derivable": pa.list_(pa.string()),
    "reasons": pa.list_(pa.string()),
    "reviewers": pa.list_(pa.string()),
    "superseded": pa.bool_(),
    "reviewed_at": _TIME,
    "updated_at": _TIME,
}
SCHEMA = pa.schema([pa.field(name, _TYPES.get(name, pa.string())) for name in flat.COLUMNS])


def write(rows: Iterable[VisitRow], out: IO[bytes]) -> None:
    """All rows as one Parquet file; also without any row it is one that can be read."""
    source = iter(rows)
    with pq.ParquetWriter(out, SCHEMA, compression="zstd") as writer:
        while group := list(islice(source, _GROUP)):
            writer.write_table(pa.Table.from_pylist([_values(row) for row in group], schema=SCHEMA))


def _values(row: VisitRow) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in flat.values(row).items()}
