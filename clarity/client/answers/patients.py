"""Who is looked at."""

import dataclasses
from dataclasses import dataclass
from datetime import date, datetime

from clarity.client.reading import Answer


@dataclass(frozen=True)
class Patient(Answer):
    """``id`` is the service's, ``external_id`` the clinic's pseudonymous one; who it is is shown by no repr."""

    id: str
    external_id: str | None = None
    name: str | None = dataclasses.field(default=None, repr=False)
    birth_date: date | None = dataclasses.field(default=None, repr=False)
    age: int | None = dataclasses.field(default=None, repr=False)
    """As it was said in the year ``age_said_in``."""
    age_said_in: int | None = dataclasses.field(default=None, repr=False)
    email: str | None = dataclasses.field(default=None, repr=False)
    phone: str | None = dataclasses.field(default=None, repr=False)
    history: str | None = dataclasses.field(default=None, repr=False)
    """Medical."""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    erased_at: datetime | None = None


@dataclass(frozen=True)
class Erasure(Answer):
    """What was erased and what was kept, in sentences."""

    id: str
    erased_at: datetime | None = None
    policy: str = ""
    erased: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
