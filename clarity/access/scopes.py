"""What a key may do: predict, read, review; admin may do all of it, and erase."""

from collections.abc import Collection, Iterable

from clarity.errors import ParameterError

SCOPES: tuple[str, ...] = ("predict", "read", "review", "admin")


def allows(held: Collection[str], wanted: str) -> bool:
    """Whether a key with these scopes may do what needs ``wanted``."""
    return wanted in held or "admin" in held


def checked(names: Iterable[str]) -> tuple[str, ...]:
    """The scopes without repetition, in the order above. Raises ParameterError: none, or an unknown one."""
    asked = set(names)
    unknown = sorted(asked - set(SCOPES))
    if unknown:
        raise ParameterError(f"scope {unknown[0]!r}: unknown, one of {', '.join(SCOPES)}")
    if not asked:
        raise ParameterError(f"scopes: none, a key needs one of {', '.join(SCOPES)}")
    return tuple(scope for scope in SCOPES if scope in asked)
