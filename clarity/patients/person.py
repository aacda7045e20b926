"""Who a patient is, as it was said: checked, to and from the document that is sealed. Its repr shows nobody."""

import json
import re
from dataclasses import asdict, dataclass, fields, replace
from datetime import date, timedelta
from typing import Any, Self

from clarity.days import DAY
from clarity.errors import PatientError

_CONTROL = r"\u0000-\u001f\u007f-\u009f"
_BLANK = r"\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""Beyond ASCII. Spelt out: Python, Rust and JavaScript, who all read these patterns, do not agree on what \\s is."""
_NO_START = rf"\t-\r \ufeff{_BLANK}"
NAME = rf"^[^{_NO_START}{_CONTROL}][^{_CONTROL}]*$"
EMAIL = rf"^[^@{_NO_START}{_CONTROL}]{{1,64}}@[^@{_NO_START}{_CONTROL}]+$"
PHONE = r"^[+]?([ ()./-]{0,3}[0-9]){4,20}$"
HISTORY = rf"^[^{_NO_START}\u0000-\u001f\u007f][^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]*$"
EXTERNAL_ID = r"^[A-Za-z0-9][A-Za-z0-9_.:/#+=-]*$"
"""As the inbox has them, in the letters that every address and every file system carries."""
TRAILING = rf"[\t-\r\u001c-\u0020{_BLANK}]*"
"""What ``str.rstrip`` takes away."""
BIRTH_DATE = f"^{DAY}$"
LONGEST = {"name": 200, "email": 254, "phone": 40, "history": 20_000, "external_id": 128}
OLDEST = 130
ERASED = "erased-"
"""How the external id of an erased patient begins; no other may."""
_TEXTS = {"name": NAME, "email": EMAIL, "phone": PHONE, "history": HISTORY}


@dataclass(frozen=True, slots=True, repr=False)
class Person:
    """None where nothing was said. Of birth date and age there is one at most."""

    name: str | None = None
    birth_date: date | None = None
    age: int | None = None
    age_said_in: int | None = None
    """The year, without which an age says nothing."""
    email: str | None = None
    phone: str | None = None
    history: str | None = None
    """Medical, in free words."""

    def __repr__(self) -> str:
        return f"Person({', '.join(one.name for one in fields(self) if getattr(self, one.name) is not None)})"

    @property
    def nobody(self) -> bool:
        """Nothing is said at all."""
        return self == Person()

    def with_changes(self, changes: dict[str, Any], today: date) -> Self:
        """What is said now in the place of what was; None takes away. An age takes the place of a birth date, and the
        other way round. Raises PatientError.
        """
        given = {name: value for name, value in changes.items() if value is not None}
        if "age" in given and "birth_date" in given:
            raise PatientError("age and birth_date: both given, one of them says it")
        said = dict(changes)
        if "birth_date" in given:
            said |= {"age": None}
        if "age" in given:
            said |= {"birth_date": None}
        if "age" in said:
            said["age_said_in"] = None if said["age"] is None else today.year
        new = replace(self, **said)
        new.check(today)
        return new

    def check(self, today: date) -> None:
        """Raises PatientError, which names the field and never repeats what it holds."""
        for name, pattern in _TEXTS.items():
            _check_text(name, getattr(self, name), pattern)
        tomorrow = today + timedelta(days=1)  # it is that already where the patient is
        if self.birth_date is not None and not date(1900, 1, 1) <= self.birth_date <= tomorrow:
            raise PatientError("birth_date: not between 1900 and today")
        if self.age is not None and not 0 <= self.age <= OLDEST:
            raise PatientError(f"age: not from 0 to {OLDEST}")

    def document(self) -> bytes:
        """JSON of what is known."""
        known = {name: value for name, value in asdict(self).items() if value is not None}
        return json.dumps(known, default=str, ensure_ascii=False).encode()

    @classmethod
    def of_document(cls, document: bytes) -> Self:
        """The inverse of ``document``."""
        known = json.loads(document)
        if "birth_date" in known:
            known["birth_date"] = date.fromisoformat(known["birth_date"])
        return cls(**known)


def check_external_id(said: str) -> None:
    """Raises PatientError where it is no pseudonymous id, or one that only an erased patient has."""
    _check_text("external_id", said, EXTERNAL_ID)
    if said.startswith(ERASED):
        raise PatientError(f"external_id: begins with {ERASED!r}, which is kept for patients that were erased")


def read_birth_date(said: str) -> date:
    """From year-month-day. Raises PatientError."""
    if re.fullmatch(BIRTH_DATE, said):
        return date.fromisoformat(said)
    raise PatientError("birth_date: not a day as 1961-04-30")


def _check_text(name: str, value: str | None, pattern: str) -> None:
    if value is None:
        return
    if len(value) > LONGEST[name]:
        raise PatientError(f"{name}: {len(value)} characters, more than {LONGEST[name]}")
    if not re.fullmatch(pattern, value) or value.endswith("\n"):
        raise PatientError(f"{name}: {len(value)} characters that cannot be a patient's {name.replace('_', ' ')}")
