"""What an adapter says of one photograph, before anybody has looked at its bytes."""

from collections.abc import Callable
from dataclasses import dataclass

from clarity.grades import GRADES
from clarity.records import Eye


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row of a source's own table. ``read`` and everything else crosses to another process by pickle."""

    source: str
    """The adapter's name; prefixes the patient."""
    name: str
    """Unique within the source, for example "train/IDRiD_001.jpg"."""
    read: Callable[[], bytes] | None
    """Gives the encoded photograph. None where the table names a file that is not there."""
    patient: str
    """With its source in front, for example "eyepacs:1000"; the photograph's own name where the set has no patients."""
    eye: Eye = Eye.UNKNOWN
    field: str = "unknown"
    """What is in the middle: "macula", "disc" or "unknown"."""
    grade: int | None = None
    """0 to 4; None where the set gives none (ungradable or unlabelled)."""
    quality: str = ""
    """The set's own words, for example EyeQ's "good"; empty where it has none."""
    split: str = ""
    """Official side: "train", "validation", "test"; empty where the set has none."""
    licence: str = ""
    origin: str = ""
    """Where the source says it, as it is written there, for people: "valid.csv: x6"; empty where no table does."""
    problem: str = ""
    """Why the row cannot be used, said by the adapter: "grade '7': not 0 to 4"."""
    stamp: str = ""
    """Changes when the file changes (size and time), so that an interrupted ingest can be resumed; empty if unknown."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What an adapter says of a whole source."""

    rows: list[SourceRow]
    unused: list[str]
    """Images of the source that no row uses: not bad, but nobody should believe that they were taken in."""


def parse_grade(text: str) -> tuple[int | None, str]:
    """A table's cell as (grade, problem): ("2" → 2, ""), ("" → None, ""), ("7" → None, "grade '7': not 0 to 4")."""
    cleaned = text.strip()
    if not cleaned or cleaned.lower() in ("nan", "none", "na"):
        return None, ""
    try:
        value = float(cleaned)
    except ValueError:
        value = -1.0
    if value not in GRADES:
        return None, f"grade {cleaned!r}: not one of the ICDR grades 0 to 4"
    return int(value), ""


def parse_eye(text: str) -> Eye:
    """The many ways to write laterality: left, L, OS, sinister → LEFT; right, R, OD → RIGHT; anything else UNKNOWN."""
    cleaned = text.strip().lower()
    if cleaned in ("left", "l", "os", "le", "sinister"):
        return Eye.LEFT
    if cleaned in ("right", "r", "od", "re", "dexter"):
        return Eye.RIGHT
    return Eye.UNKNOWN
