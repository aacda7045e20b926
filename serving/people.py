"""Patients as the service takes and answers them. No repr of one shows who it is."""

from datetime import date, datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from clarity.patients import person
from clarity.patients.erasure import Done
from clarity.patients.person import Person, read_birth_date
from clarity.patients.register import Known
from clarity.patients.search import Wanted
from serving.schemas import STATEMENT, TEXT, WHOLE

_ID = "0b0c6f0e-6d0f-4c58-9f0a-1f5f6c1d2e3f"
_SAID: dict[str, Any] = {
    "name": "Erika Mustermann",
    "birth_date": "1961-04-30",
    "email": "erika@example.org",
    "phone": "+49 171 5550 123",
    "history": "Type 2 diabetes since 2009. HbA1c 7.4 %.",
    "external_id": "A17",
}
PATIENT: dict[str, Any] = {
    **_SAID,
    "id": _ID,
    "age": None,
    "age_said_in": None,
    "created_at": "2026-11-22T09:12:30Z",
    "updated_at": "2026-11-22T09:12:30Z",
    "erased_at": None,
}
CHANGES: dict[str, Any] = {"phone": "+49 171 5550 124", "history": None}
ERASED: dict[str, Any] = {
    "id": _ID,
    "erased_at": "2026-11-23T08:00:00Z",
    "policy": "pseudonymise",
    "erased": ["name, birth date or age, e-mail, telephone, medical history, and the hashes they were searched by"],
    "kept": ["2 scans with photographs, predictions, outcomes and reviews, pseudonymous"],
}


def _text(name: str, pattern: str) -> StringConstraints:
    """As it may be sent: with blanks at its end, which are dropped."""
    sent = f"{pattern.removesuffix('$')}{person.TRAILING}$"
    return StringConstraints(min_length=1, max_length=person.LONGEST[name], pattern=sent)


_TRIMMED = AfterValidator(str.rstrip)
_NOT_ERASED = Field(json_schema_extra={"not": {"pattern": f"^{person.ERASED}"}})
Name = Annotated[str, _text("name", person.NAME), _TRIMMED]
Email = Annotated[str, _text("email", person.EMAIL), _TRIMMED]
Phone = Annotated[str, _text("phone", person.PHONE), _TRIMMED]
Medical = Annotated[str, _text("history", person.HISTORY), _TRIMMED]
ExternalId = Annotated[str, _text("external_id", person.EXTERNAL_ID), _TRIMMED, _NOT_ERASED]
Day = Annotated[str, StringConstraints(pattern=person.BIRTH_DATE)]
Age = Annotated[int, Field(strict=True, ge=0, le=person.OLDEST), WHOLE]
_ONE_OF_BOTH: Any = [{"properties": {"age": {"type": "null"}}}, {"properties": {"birth_date": {"type": "null"}}}]


class PatientRequest(BaseModel):
    """What is said of a patient; everything may be left out. Of age and birth date one. Blanks that end a text are
    dropped.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"examples": [_SAID], "anyOf": _ONE_OF_BOTH}
    )
    name: Name | None = Field(default=None, repr=False)
    birth_date: Day | None = Field(default=None, repr=False, description="Year-month-day, from 1900 to today.")
    age: Age | None = Field(default=None, repr=False, description="Years; kept with the year in which it is said.")
    email: Email | None = Field(default=None, repr=False)
    phone: Phone | None = Field(default=None, repr=False, description="4 to 20 digits, + ( ) . - / and spaces.")
    history: Medical | None = Field(default=None, repr=False, description="Medical history, in free words.")
    external_id: ExternalId | None = Field(
        default=None, repr=False, description="The clinic's own pseudonymous id, as in the inbox; never a name."
    )

    def said(self) -> dict[str, Any]:
        """What was given, by fields of ``Person`` and ``external_id``; None takes away. Raises PatientError."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        if given.get("birth_date") is not None:
            given["birth_date"] = read_birth_date(given["birth_date"])
        return given


class PatientChanges(PatientRequest):
    """Fields to change: what is left out stays, null takes away. An age takes a birth date's place, and back."""

    model_config = ConfigDict(json_schema_extra={"examples": [CHANGES], "anyOf": _ONE_OF_BOTH})


def _sought(name: str, description: str | None = None) -> Any:
    """A text that is searched by, as long as what it is compared with may be."""
    return Field(
        default=None, pattern=TEXT, min_length=1, max_length=person.LONGEST[name], repr=False, description=description
    )


class PatientQuery(BaseModel):
    """What patients are searched by: all that is given has to be so."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str | None = _sought("name", "Whole words, in any order and case.")
    email: str | None = _sought("email")
    phone: str | None = _sought("phone", "With or without the code of the country.")
    birth_date: Day | None = Field(default=None, repr=False)
    external_id: str | None = _sought("external_id")
    cursor: UUID | None = Field(default=None, description="``following`` of the page before.")
    limit: int | None = Field(default=None, ge=1, le=200, description="Patients of a page.")

    def wanted(self) -> Wanted:
        """As the register takes it. Raises PatientError."""
        born = read_birth_date(self.birth_date) if self.birth_date is not None else None
        return Wanted(self.name, self.email, self.phone, born, self.external_id)


class PatientAnswer(BaseModel):
    """A patient. Who it is is null where that was never said, as of who came by the nightly inbox, or was erased."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [PATIENT]})
    id: UUID
    external_id: str | None = Field(repr=False)
    name: str | None = Field(repr=False)
    birth_date: date | None = Field(repr=False)
    age: int | None = Field(repr=False, description="As it was said, in the year ``age_said_in``.")
    age_said_in: int | None = Field(repr=False)
    email: str | None = Field(repr=False)
    phone: str | None = Field(repr=False)
    history: str | None = Field(repr=False, description="Medical.")
    created_at: datetime
    updated_at: datetime
    erased_at: datetime | None

    @classmethod
    def of(cls, known: Known) -> Self:
        """From the register."""
        who = known.person or Person()
        names = ("name", "birth_date", "age", "age_said_in", "email", "phone", "history")
        return cls(
            id=known.uid,
            external_id=known.external_id,
            created_at=known.created_at,
            updated_at=known.updated_at,
            erased_at=known.erased_at,
            **{name: getattr(who, name) for name in names},
        )


class Patients(BaseModel):
    """A page, the newest first."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"examples": [{"patients": [PATIENT], "following": _ID, "statement": STATEMENT}]},
    )
    patients: list[PatientAnswer] = Field(repr=False)
    following: UUID | None = Field(description="The cursor of the next page; null at the end.")
    statement: str = STATEMENT


class ErasureAnswer(BaseModel):
    """What was erased and what was kept, in sentences; the same again for a patient who is erased already."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [ERASED]})
    id: UUID
    erased_at: datetime
    policy: str = Field(description="``serving.erasure`` of the configuration: pseudonymise or remove.")
    erased: list[str]
    kept: list[str]

    @classmethod
    def of(cls, done: Done) -> Self:
        """From what was done."""
        return cls(
            id=done.uid, erased_at=done.erased_at, policy=done.policy, erased=list(done.erased), kept=list(done.kept)
        )
