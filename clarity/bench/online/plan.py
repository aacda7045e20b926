"""How long each part of the bench takes: as the figures are told, and short, to see that it works."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """Numbers of calls and seconds."""

    calls: int = 200
    """Of one caller, on each of the two sides of the overhead."""
    peer_calls: int = 40
    callers: int = 32
    load_s: float = 60.0
    alone_s: float = 20.0
    """Of the library by itself, before the load and after it."""
    requests: int = 2000
    """Across the promotions, at least: it goes on until every promotion was seen."""
    overload_s: float = 300.0
    starts: int = 5


FULL = Plan()
QUICK = Plan(calls=20, peer_calls=5, load_s=6.0, alone_s=3.0, requests=200, overload_s=12.0, starts=2)
