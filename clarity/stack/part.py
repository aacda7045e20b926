"""What every part of the stack can do; one module a part implements it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from signal import SIGTERM, Signals
from typing import ClassVar

import psutil

from clarity.settings import Settings
from clarity.stack import process
from clarity.stack.addresses import Home
from clarity.stack.process import Command, Record


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


class Part(ABC):
    """A part: how it is started, asked for its health, completed once it answers, and stopped."""

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    """Parts that must answer before this one starts."""
    beside: ClassVar[tuple[str, ...]] = ()
    """Parts that this one works with, and that need not answer before it starts."""
    ports: ClassVar[tuple[str, ...]] = ()
    address: ClassVar[str | None] = None
    """The variable whose presence in the environment replaces this part."""
    given: ClassVar[tuple[str, ...]] = ()
    """Of its other variables, those that the environment may give instead: such a value is used, and not kept."""
    patience_s: ClassVar[float] = 60
    stop_signal: ClassVar[Signals] = SIGTERM
    stop_s: ClassVar[float] = 20
    """How long it may take to end before it is killed."""

    def variables(self, home: Home) -> dict[str, str]:  # noqa: ARG002
        """The variables by which others find the local part."""
        return {}

    @abstractmethod
    def url(self, settings: Settings) -> str:
        """The address to show to people, without secrets."""

    @abstractmethod
    def command(self, home: Home) -> Command:
        """Make what the part needs and say what to run. ``home.settings`` knows the addresses of all parts."""

    @abstractmethod
    def check(self, settings: Settings) -> None:
        """Return when the part answers at its address, local or not; raise anything otherwise."""

    def finish(self, home: Home) -> str | None:  # noqa: ARG002
        """Make what others need of it (database, bucket, deployments); safe to repeat. May return a remark."""
        return None

    def trouble(self, home: Home) -> str | None:  # noqa: ARG002
        """What is wrong although the part answers."""
        return None

    def processes(self, home: Home) -> list[psutil.Process]:
        """Every living process of the part, also those that a crash has left without a parent."""
        return process.marked(home.mark(self.name))

    def stop(self, home: Home) -> None:
        """End the part and every process of it."""
        record = Record.read(home.record_file(self.name))
        process.stop(record, self.processes(home), self.stop_signal, timeout_s=self.stop_s)
