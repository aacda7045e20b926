"""What a route says of access: which scope it needs, and which record a request touched.

Who calls is settled before, by ``serving.gate``: a body is not even read for a stranger.
"""

from dataclasses import dataclass

from starlette.requests import Request

from clarity.access import scopes
from clarity.errors import AccessRefused, ScopeMissing


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the key's id, and what people call the key."""

    key_id: str
    name: str
    scopes: tuple[str, ...] = ()


OPEN = Caller("open", "open", ("admin",))
"""Everybody, where the service runs without keys."""


@dataclass(frozen=True, slots=True)
class Requires:
    """A FastAPI dependency that gives the Caller, whose key has the scope. Raises AccessRefused, ScopeMissing."""

    scope: str

    def __call__(self, request: Request) -> Caller:
        """FastAPI's signature."""
        caller: Caller | None = getattr(request.state, "caller", None)
        if caller is None:
            raise AccessRefused("key: none")
        check(caller, self.scope)
        return caller


def requires(scope: str) -> Requires:
    """For a route: ``caller: Annotated[Caller, Depends(requires("read"))]``."""
    if scope not in scopes.SCOPES:
        raise ValueError(f"scope {scope!r}: one of {', '.join(scopes.SCOPES)}")
    return Requires(scope)


def check(caller: Caller, scope: str) -> None:
    """Raises ScopeMissing."""
    if not scopes.allows(caller.scopes, scope):
        raise ScopeMissing(f"key {caller.key_id}: has not the scope {scope!r}")


def note(request: Request, record: str) -> None:
    """Say which record the request touches: "patient <uid>", "scan <sha256>", "worklist", "patients".

    Before it is touched: what fails stands in the access log too. A request may note several; each is a row, written
    before the answer leaves.
    """
    noted: dict[str, None] = request.scope.setdefault("state", {}).setdefault("records", {})
    noted[record] = None
