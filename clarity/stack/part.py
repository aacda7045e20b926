"""What every part of the stack can do; one module a part implements it."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from clarity.settings import Settings
from clarity.stack.addresses import Home
from clarity.stack.process import Command


@dataclass(frozen=True)
class PartStatus:
    """One line of ``clarity status``.

    ``state``: "running", "unhealthy" (the process lives, the part does not answer), "dead" (it ended by itself),
    "stopped", or for an external part "running" and "unreachable". ``url`` carries no password.
    """

    name: str
    state: str
    url: str
    pid: int | None
    log_tail: list[str]
    external: bool
    detail: str = ""


class Part(Protocol):
    """A part: how it is prepared, started, asked for its health, and finished once it answers."""

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]
    """Parts that must answer before this one starts."""
    ports: ClassVar[tuple[str, ...]]
    address: ClassVar[str | None]
    """The variable whose presence in the environment replaces this part."""
    patience_s: ClassVar[float]

    def variables(self, home: Home) -> dict[str, str]:
        """The variables by which others find the local part."""

    def url(self, settings: Settings) -> str:
        """The address to show to people, without secrets."""

    def command(self, home: Home) -> Command:
        """Make the part's folders and say what to run. ``home.settings`` knows the addresses of all parts."""

    def check(self, settings: Settings) -> None:
        """Return when the part answers at its address, local or not; raise anything otherwise."""

    def finish(self, home: Home) -> None:
        """What is to be made once it answers (databases, bucket, deployments). Safe to repeat."""

    def stop(self, home: Home) -> None:
        """End the part and every process of it."""
