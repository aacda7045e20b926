"""Referral policies as versioned data: what a grade asks for, by when, and what the model cannot know of it.

``conf/policies/<name>.yaml``; one file is one version of one policy, with its sources and what of them was verified.
"""

import calendar
import difflib
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from clarity import grades as scale
from clarity import params
from clarity.errors import ParameterError
from clarity.params import Section

FOLDER = "conf/policies"
Words = Annotated[str, Field(min_length=1)]


class Within(Section):
    """How long a next step may take, in calendar months and days; ``{days: 0}`` is at once."""

    months: int = Field(default=0, ge=0, le=36)
    days: int = Field(default=0, ge=0, le=366)

    @model_validator(mode="after")
    def _said(self) -> "Within":
        if not self.model_fields_set:
            raise ValueError("neither months nor days are given")
        return self

    def after(self, day: date) -> date:
        """The last day of it: 31 January and one month is the last of February."""
        months = day.month - 1 + self.months
        year, month = day.year + months // 12, months % 12 + 1
        last = calendar.monthrange(year, month)[1]
        return date(year, month, min(day.day, last)) + timedelta(days=self.days)


class Step(Section):
    """A next step, in the policy's own words, and by when."""

    action: Words
    within: Within


class GradeStep(Step):
    """What a grade asks for."""

    grade: int = Field(ge=0, le=4)
    refers: bool
    not_derivable: tuple[Words, ...] = ()
    """What this policy distinguishes within the grade and the model cannot."""


class Source(Section):
    """Where it was published, and what of it was compared with this file."""

    title: Words
    link: Words
    date: Words
    checked: Words


class Policy(Section):
    """One version of a referral policy. Grades are ICDR; it may refer earlier than more-than-mild DR, never later."""

    name: Words
    version: Words
    title: Words
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    not_verified: tuple[Words, ...]
    """What in this file no source was found for, or is Clarity's own choice."""
    grades: tuple[GradeStep, ...]
    ungradable: Step
    """Of an eye without one gradable capture."""
    review: Step
    """Of a capture on which the model abstains."""
    not_derivable: tuple[Words, ...]
    """What the policy needs of every patient and the model cannot know."""

    @property
    def label(self) -> str:
        """Name and version, for example "ada 2017.1"."""
        return f"{self.name} {self.version}"

    @model_validator(mode="after")
    def _ordered(self) -> "Policy":
        if tuple(step.grade for step in self.grades) != scale.GRADES:
            raise ValueError(f"grades: {[step.grade for step in self.grades]}, not each of 0 to 4 in order")
        for step in self.grades:
            if scale.is_referable(step.grade) and not step.refers:
                raise ValueError(f"grade {step.grade}: more than mild DR, and not referred")
        day = date(2025, 1, 31)
        for milder, graver in zip(self.grades, self.grades[1:], strict=False):
            if milder.refers and not graver.refers:
                raise ValueError(f"grade {graver.grade}: not referred, though grade {milder.grade} is")
            if graver.within.after(day) > milder.within.after(day):
                raise ValueError(f"grade {graver.grade}: seen later than grade {milder.grade}")
        return self


def load(folder: Path, name: str) -> Policy:
    """The policy ``name`` of a folder of policies, for example of ``<project>/conf/policies``.

    Raises ParameterError: there is none of that name (the nearest is named), or the file is not a policy.
    """
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        said = f"did you mean {near[0]}?" if near else f"and there are none in {folder}"
        raise ParameterError(f"policy {name!r}: unknown, {said}")
    path = folder / f"{name}.yaml"
    found = params.check(Policy, params.read(path), origin=str(path))
    if found.name != name:
        raise ParameterError(f"{path}: names itself {found.name!r}, not as its file is named")
    return found
