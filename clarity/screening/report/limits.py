"""What a night may show before somebody is told: the configuration's limits against the night's figures. Pure."""

from clarity.errors import LimitPassed, ScreeningIncomplete
from clarity.params import LimitParams
from clarity.screening.report.summary import Summary

_WHERE = "screening.limits."


def judge(summary: Summary, limits: LimitParams) -> list[str]:
    """A sentence for each limit that is passed; a figure that is not known passes none.

    Quarantine is judged by what is new in it: a file that nobody attributes is met again every night.
    """
    new, quality, sure = summary.quarantined_new, summary.ungradable, summary.abstained
    gradable = summary.scored + quality
    sentences = [
        _share("new in quarantine", new, gradable + new, "quarantined_share", limits.quarantined_share),
        _share("ungradable", quality, gradable, "ungradable_share", limits.ungradable_share),
        _share("left to a person by the model", sure, summary.scored, "review_share", limits.review_share),
        _canaries(len(summary.canaries_changed), summary.canaries, limits.canaries_changed),
        _drift([str(row["name"]) for row in summary.drift or () if row["found"]]) if limits.drift else None,
    ]
    return [sentence for sentence in sentences if sentence is not None]


def insist(summary: Summary) -> None:
    """Raises ScreeningIncomplete where a part of the night failed, LimitPassed where it passed a limit."""
    if summary.errors:
        many = f"{summary.error_count} failure{'s' if summary.error_count > 1 else ''}"
        raise ScreeningIncomplete(f"screening {summary.run}: {many}, first: {summary.errors[0]}")
    if summary.limits_passed:
        raise LimitPassed(f"screening {summary.run}: {'; '.join(summary.limits_passed)}")


def _share(what: str, count: int, total: int, key: str, limit: float) -> str | None:
    if not total or count / total <= limit:
        return None
    return f"{what}: {count} of {total} photographs ({count / total:.1%}), more than {_WHERE}{key} ({limit:.1%})"


def _canaries(changed: int, ridden: int | None, limit: int) -> str | None:
    if changed <= limit:
        return None
    return f"canaries: {changed} of {ridden or changed} came back changed, more than {_WHERE}canaries_changed ({limit})"


def _drift(names: list[str]) -> str | None:
    return f"drift: found in {', '.join(names)}, and {_WHERE}drift is true" if names else None
