"""Who is looked at."""

import dataclasses
from dataclasses import dataclass
from datetime import date, datetime

from clarity.client.reading import Answer


@dataclass(frozen=True)
class Patient(Answer):
    """``id`` is the service's, ``external_id`` the clinic's pseudonymous one; the rest is shown by no repr."""

    id: str
    external_id: str = ""
    name: str | None = dataclasses.field(default=None, repr=False)
    birth_date: date | None = dataclasses.field(default=None, repr=False)
    age: int | None = dataclasses.field(default=None, repr=False)
    email: str | None = dataclasses.field(default=None, repr=False)
    phone: str | None = dataclasses.field(default=None, repr=False)
    history: str | None = dataclasses.field(default=None, repr=False)
    created_at: datetime | None = None
    updated_at: datetime | None = None
    erased_at: datetime | None = None


@dataclass(frozen=True)
class Erasure(Answer):
    """What was done with the record of a patient who is erased."""

    id: str
