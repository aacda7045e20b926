"""A day's captures for the demo: photographs of patients that training never saw, and two that no programme wants."""

import csv
import io
from pathlib import Path

import pandas as pd

from clarity.data import manifest
from clarity.storage.objects import Objects

COLUMNS = ("file", "patient", "eye", "field", "visit", "captured_at")
VISIT = "demo"


def held_out(workspace: Path, count: int) -> pd.DataFrame:
    """Manifest rows of the test split, both eyes of a patient together, at most ``count`` photographs.

    Those without a known eye only where no other is to be had: the inbox takes captures of a named eye, and puts the
    others into quarantine.
    """
    split = pd.read_csv(workspace / "artifacts" / "split.csv", dtype=str).query("split == 'test'")
    rows = manifest.read(workspace / "data" / "manifest.csv")
    rows = rows[rows["sha256"].isin(split["sha256"])].sort_values(["patient", "eye", "sha256"])
    known = rows[rows["eye"].isin(["left", "right"])]
    return (known if len(known) else rows).head(count)


def push(workspace: Path, rows: pd.DataFrame, folder: str, objects: Objects) -> int:
    """Put the captures, a truncated one and a page of text below ``folder`` with their manifest; how many objects."""
    lines: list[dict[str, str]] = []
    last = b""
    for number, row in enumerate(rows.itertuples(), start=1):
        name = f"capture-{number:03d}{row.suffix}"
        last = (workspace / "data" / manifest.photograph_path(str(row.sha256), str(row.suffix))).read_bytes()
        objects.put(f"{folder}/{name}", last)
        lines.append({"file": name, "patient": str(row.patient), "eye": str(row.eye), "visit": VISIT})
    for name, data in (("truncated.jpg", last[: len(last) // 3]), ("letter.jpg", b"Dear colleague, ...\n" * 40)):
        objects.put(f"{folder}/{name}", data)
        lines.append({"file": name, "patient": "demo:bad-files", "eye": "left", "visit": VISIT})
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, restval="")
    table.writeheader()
    table.writerows(lines)
    objects.put(f"{folder}/manifest.csv", text.getvalue().encode(), "text/csv")
    return len(lines)
