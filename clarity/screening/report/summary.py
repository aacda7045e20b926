"""One night in figures: plain values that become a row, JSON, HTML and a table."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from clarity.screening.report.mix import Share

PRIORITIES = ("vision-threatening", "referable", "uncertain", "ungradable or incomplete")
"""Of the worklist, in its order."""
NOTICE = "Decision support in development, not a medical device. Macular oedema: not assessed."


@dataclass(frozen=True, slots=True)
class Known:
    """What the flow knows of its run and the database does not. What it leaves out is reported as not known."""

    steps: Mapping[str, float] = field(default_factory=dict)
    """Seconds by step; a step that ran several times is the sum."""
    canaries: int | None = None
    """How many rode in this night."""
    canaries_changed: Sequence[str] = ()
    """A sentence for each that came back different."""
    drift: Sequence[Mapping[str, Any]] | None = None
    """A row a watched distribution: name, found, sentence, n, psi and critical (None: too few to say)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One run. None: not known. Lists are tables, a dictionary a row, so that it is JSON as it stands."""

    run: str
    kind: str
    """night or rescore."""
    started_at: str
    """UTC, ISO 8601."""
    model: str
    model_version: str
    fingerprint: str
    precision: str | None
    policy: str | None
    status: str
    seconds: float
    throughput: float | None
    """Photographs graded or found ungradable, a second of the whole run."""
    registered: int
    scored: int
    ungradable: int
    quarantined: int
    """Inbox objects and captures that this run put, or found again, in quarantine."""
    quarantined_new: int
    """Of them, those never met before."""
    failed: int
    recapture: int
    """Photographs of this run that a person should take again."""
    abstained: int
    """Photographs that the model leaves to a person."""
    outcomes: dict[str, int]
    """Of visits, written by this run, by result."""
    first: list[dict[str, Any]]
    """What to do first: priority (0 to 3), visits of this run, visits that wait in all (10,000 where there are more),
    the earliest date by which the next step is due."""
    grades: dict[str, int]
    """Photographs by grade; of photographs, not of patients."""
    mix: list[Share]
    nights: int
    """Completed nights before, that the mix is compared with."""
    ungradable_reasons: list[dict[str, Any]]
    """reason, count, share of all photographs that were judged; a photograph may have several reasons."""
    review_reasons: list[dict[str, Any]]
    """reason (an example, where they differ in numbers), count, share of the graded photographs."""
    waiting_for_a_person: int
    """Everything open in the quarantine, from this run or earlier ones."""
    quarantine: list[dict[str, Any]]
    """This run's, by kind and reason: kind, count, new, and the key and reason of an example."""
    quarantine_more: int
    """Kinds of trouble beyond those listed."""
    steps: dict[str, float]
    canaries: int | None
    canaries_changed: list[str]
    drift: list[dict[str, Any]] | None
    limits_passed: list[str]
    limits_known: bool
    """Whether limits were judged at all."""
    errors: list[str]
    """The first of them."""
    error_count: int
    notified: str | None = None
    """What became of the message about this night; None where there was nothing to tell."""
    report: str
    """Where in the object store the report lies: summary.json, report.html, contact.png."""
    notice: str = NOTICE

    def counts(self) -> dict[str, Any]:
        """As stored with the run."""
        return asdict(self)

    @property
    def slowest(self) -> str | None:
        """The step that took longest."""
        return max(self.steps, key=self.steps.__getitem__, default=None)
