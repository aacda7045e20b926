"""data/manifest.csv: one row a photograph, sorted by hash, so that the same photographs always give the same file."""

from pathlib import Path

import pandas as pd

from clarity.errors import ManifestError

COLUMNS: tuple[str, ...] = (
    "sha256", "phash", "detail", "source", "name", "patient", "eye", "field", "grade", "quality", "split",
    "width", "height", "bytes", "suffix", "licence",
)  # fmt: skip
_NUMBERS = ("grade", "width", "height", "bytes")
REASON = "reason"


def empty(*, reason: bool = False) -> pd.DataFrame:
    """No rows, all columns with their types; with ``reason`` the quarantine's."""
    return typed(pd.DataFrame(columns=[*COLUMNS, *([REASON] if reason else [])]))


def read(path: Path) -> pd.DataFrame:
    """The manifest (or quarantine) with text columns as str and numbers as nullable Int64; grade is <NA> if unknown.

    Raises ManifestError: the file is absent, is no csv, lacks a column or has a grade outside 0 to 4.
    """
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror}; is there a data set? `clarity ingest` makes one") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: not a manifest ({error})") from None
    missing = [column for column in COLUMNS if column not in frame]
    if missing:
        raise ManifestError(f"{path}: no column {', '.join(missing)}")
    frame = typed(frame)
    wrong = frame[frame["grade"].notna() & ~frame["grade"].between(0, 4)]
    if len(wrong):
        raise ManifestError(f"{path}: grade {wrong['grade'].iloc[0]} of {wrong['name'].iloc[0]}: not 0 to 4")
    return frame


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write atomically: rows by sha256, source and name, columns in their order, no timestamp."""
    ordered = frame.sort_values(["sha256", "source", "name"], kind="stable")
    temporary = path.with_name(path.name + ".new")
    ordered.to_csv(temporary, index=False, lineterminator="\n")
    temporary.replace(path)


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """The same rows with this module's column types. Raises ManifestError where a number is none."""
    frame = frame.copy()
    try:
        for column in frame.columns:
            if column in _NUMBERS:
                frame[column] = pd.to_numeric(frame[column].replace("", None)).astype("Int64")
            else:
                frame[column] = frame[column].astype(str)
    except (ValueError, TypeError) as error:
        raise ManifestError(f"manifest: column {column}, {error}") from None
    return frame


def spelled(grade: pd.Series) -> pd.Series:
    """Grades as text, "none" where there is none."""
    return grade.astype("string").fillna("none").astype(str)


def photograph_path(sha256: str, suffix: str) -> str:
    """Where a photograph lies below data/: ``photographs/3f/3f0a….jpg``."""
    return f"photographs/{sha256[:2]}/{sha256}{suffix}"
