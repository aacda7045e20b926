"""What an address is: the path as documented, the methods it has, the scope it needs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from serving.access import Requires

VERSION = "/v1"
_LONGEST = 512


@dataclass(frozen=True, slots=True)
class Need:
    """Of one method of a path."""

    scope: str | None = None
    """None: any good key."""
    json: bool = False
    """It has a JSON body, which FastAPI reads."""


@dataclass(frozen=True, slots=True)
class Place:
    """One path, as documented."""

    path: str
    pattern: re.Pattern[str]
    needs: dict[str, Need] = field(default_factory=dict)

    @property
    def allowed(self) -> str:
        """The value of the header Allow."""
        more = {"HEAD"} if "GET" in self.needs else set()
        return ", ".join(sorted({*self.needs, *more, "OPTIONS"}))


class Paths:
    """All places of an application."""

    def __init__(self, app: FastAPI) -> None:
        places: dict[str, Place] = {}
        for route in iter_route_contexts(app.routes):
            if route.path_format is None or not route.methods:
                continue
            place = places.setdefault(route.path_format, Place(route.path_format, route.path_regex))
            wanted = next(scopes(getattr(route, "dependant", None)), None)
            need = Need(wanted, json=getattr(route, "body_field", None) is not None)
            place.needs.update(dict.fromkeys(route.methods - {"HEAD"}, need))
        self._places = sorted(places.values(), key=lambda place: place.path.count("{"))
        self._documented = {path: f"{VERSION}{path}" for path in places if f"{VERSION}{path}" in places}

    def find(self, path: str) -> Place | None:
        """The place of an address; an exact path before one with a parameter."""
        if len(path) > _LONGEST or "\0" in path:
            return None
        return next((place for place in self._places if place.pattern.match(path)), None)

    def known(self, path: str) -> str:
        """The address itself where something is there, else the one that differs by a slash at its end."""
        other = path[:-1] if path.endswith("/") else f"{path}/"
        return other if self.find(path) is None and self.find(other) is not None else path

    def documented(self, place: Place) -> str:
        """Its path under the version, also where it was asked for without."""
        return self._documented.get(place.path, place.path)


def scopes(dependant: Dependant | None) -> Iterator[str]:
    """The scopes that a route's dependencies ask for."""
    for one in dependant.dependencies if dependant is not None else ():
        if isinstance(one.call, Requires):
            yield one.call.scope
        yield from scopes(one)
