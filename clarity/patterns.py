"""Patterns of file names: RE2 expressions whose named groups say whose a photograph is.

For example ``(?P<patient>[^/_]+)_(?P<eye>OD|OS)\\.jpg``, matched against the whole name below the inbox. RE2 (Cox,
"Regular Expression Matching Can Be Simple And Fast", 2007) takes time linear in the name whatever the pattern, so
neither a pattern nor a name can hold up a night; it has no lookaround and no backreference.
"""

import functools
from collections.abc import Iterable, Mapping

import re2

GROUPS = ("patient", "eye", "visit", "field", "visit_type", "captured_at")
_NEEDED = ("patient", "eye")


def check(pattern: str) -> None:
    """Raises ValueError with a sentence: no RE2 expression, a group of another name, or no patient or eye."""
    try:
        groups = _compiled(pattern).groupindex
    except re2.error as error:
        raise ValueError(f"no RE2 expression ({_said(error)})") from None
    unknown = sorted(set(groups) - set(GROUPS))
    if unknown:
        raise ValueError(f"group {', '.join(unknown)}: not one of {', '.join(GROUPS)}")
    missing = [name for name in _NEEDED if name not in groups]
    if missing:
        raise ValueError(f"no group {' and no group '.join(missing)}: whose photograph it is would not be known")


def match(name: str, patterns: Iterable[str]) -> Mapping[str, str]:
    """What the first pattern that fits the whole name says; empty where none does."""
    for pattern in patterns:
        found = _compiled(pattern).fullmatch(name)
        if found is not None:
            return {group: text for group, text in found.groupdict().items() if text}
    return {}


@functools.lru_cache(maxsize=64)
def _compiled(pattern: str) -> "re2._Regexp":
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


def _said(error: Exception) -> str:
    first = error.args[0] if error.args else ""
    return first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first)
