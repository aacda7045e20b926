"""What patients are searched by, as keyed hashes (HMAC-SHA256): equal for equal words, and nothing without the key.

Names are compared by words without accents and case, in any order, and as one word: "muller, erika" finds Erika Müller
and "Mac Donald" MacDonald. Telephone numbers are compared by their last eight digits, so with and without country code.
"""

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from clarity.patients.keyring import decode
from clarity.patients.person import Person

_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "æ": "ae", "ø": "oe", "å": "aa"})
_HEX = 32
"""Digits kept of a hash: 128 bits."""
_TAIL = 8
_WORDS = 20
"""Of a name that are looked at."""

Group = frozenset[str]
"""Tokens of which a patient needs one."""


@dataclass(frozen=True, slots=True, repr=False)
class Wanted:
    """What is asked for; everything that is given has to be so."""

    name: str | None = None
    email: str | None = None
    phone: str | None = None
    birth_date: date | None = None
    external_id: str | None = None

    def __repr__(self) -> str:
        return "Wanted(…)"


@dataclass(frozen=True, slots=True)
class Query:
    """A patient has one token of each group, or (of a name) one of ``whole``, where the name is asked for as well."""

    groups: tuple[Group, ...]
    name: tuple[Group, ...]
    whole: Group

    @property
    def impossible(self) -> bool:
        """Something is asked for that nobody has, a telephone number without a digit."""
        return any(not group for group in (*self.groups, *self.name))


class Index:
    """Makes tokens with the search key of the environment."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def of(cls, text: str) -> "Index":
        """From base64. Raises SealError."""
        return cls(decode(text, "CLARITY_SEARCH_KEY"))

    def digest(self, data: bytes) -> bytes:
        """Of a whole request: so that what was said in it cannot be guessed from a hash without the key."""
        return hmac.digest(self._key, b"request\0" + data, hashlib.sha256)

    def tokens(self, person: Person) -> list[str]:
        """Of all that is known, sorted, so that their order tells nothing."""
        found: set[str] = set()
        if person.name is not None:
            for word in _words(person.name):
                found |= {self._token("name", form) for form in _forms(word)}
            found |= {self._token("full", form) for form in _forms("".join(_words(person.name)))}
        for group in self._others(Wanted(None, person.email, person.phone, person.birth_date)):
            found |= group
        return sorted(found)

    def query(self, wanted: Wanted) -> Query:
        """The tokens that a patient who is wanted has."""
        groups = tuple(self._others(wanted))
        if wanted.name is None:
            return Query(groups, (), frozenset())
        words = _words(wanted.name)
        name = tuple(frozenset(self._token("name", form) for form in _forms(word)) for word in words)
        whole = frozenset(self._token("full", form) for form in _forms("".join(words))) if words else frozenset()
        return Query(groups, name or (frozenset(),), whole)

    def _others(self, wanted: Wanted) -> Iterator[Group]:
        if wanted.email is not None:
            yield frozenset({self._token("email", _folded(wanted.email))})
        if wanted.phone is not None:
            digits = _digits(wanted.phone)
            yield frozenset({self._token("phone", digits)} if digits else ())
        if wanted.birth_date is not None:
            yield frozenset({self._token("born", wanted.birth_date.isoformat())})

    def _token(self, kind: str, value: str) -> str:
        return hmac.digest(self._key, f"{kind}\0{value}".encode(), hashlib.sha256).hex()[:_HEX]


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip()).casefold()


def _words(name: str) -> list[str]:
    """Letters and digits between everything else, folded; composed, so that an umlaut is one letter."""
    return re.findall(r"[^\W_]+", _folded(name))[:_WORDS]


def _forms(word: str) -> set[str]:
    """A word without its accents, and with its umlauts written out: both spellings of one name meet."""
    return {_bare(word), _bare(word.translate(_UMLAUTS))}


def _bare(word: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKD", word) if not unicodedata.combining(letter))


def _digits(phone: str) -> str:
    return "".join(letter for letter in phone if letter in "0123456789").lstrip("0")[-_TAIL:]
