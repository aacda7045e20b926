"""From a JSON object to a dataclass of an answer: what is not known yet is kept aside, what is missing is its default.

So a client goes on working with a newer service that says more.
"""

import types
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from datetime import date, datetime
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from clarity.client.errors import Misunderstood


@dataclass(frozen=True)
class Answer:
    """Base of the answers."""

    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False, kw_only=True)
    """The JSON object as it came, with what this version of the client does not know."""


Read = TypeVar("Read", bound=Answer)


def read(kind: type[Read], said: Mapping[str, Any]) -> Read:
    """Raises Misunderstood where a field without a default is missing, or of another kind."""
    values: dict[str, Any] = {}
    hints = get_type_hints(kind)
    for one in fields(kind):
        if one.name == "raw":
            values["raw"] = said
        elif one.name in said:
            try:
                values[one.name] = _value(hints[one.name], said[one.name])
            except (TypeError, ValueError):
                # The kind and not the value: it may be a person's
                got = type(said[one.name]).__name__
                raise Misunderstood(f"{kind.__name__}.{one.name}: {got}, not what is documented") from None
        elif one.default is MISSING and one.default_factory is MISSING:
            raise Misunderstood(f"{kind.__name__}: no {one.name!r} in the answer, is this Clarity's API?")
    return kind(**values)


def _value(hint: Any, said: Any) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _one_of(get_args(hint), said)
    if origin is tuple:
        if not isinstance(said, list):
            raise TypeError
        return tuple(_value(get_args(hint)[0], one) for one in said)
    if said is None:
        raise TypeError
    if isinstance(hint, type) and is_dataclass(hint) and issubclass(hint, Answer):
        if not isinstance(said, dict):
            raise TypeError
        return read(hint, said)
    if hint in (datetime, date):
        return hint.fromisoformat(said)
    if hint is float and isinstance(said, int):
        return float(said)
    if hint in (str, int, float, bool) and type(said) is not hint:
        raise TypeError
    return said


def _one_of(hints: Sequence[Any], said: Any) -> Any:
    if said is None:
        return None
    for hint in hints:
        if hint is not type(None):
            with suppress(TypeError, ValueError):
                return _value(hint, said)
    raise TypeError
