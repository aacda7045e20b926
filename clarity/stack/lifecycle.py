"""Start and stop the parts of the local stack; a part whose address is in the environment is left alone."""

import fcntl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field

from clarity.errors import StackError
from clarity.settings import Settings
from clarity.stack import process
from clarity.stack.addresses import Home
from clarity.stack.health import first_line
from clarity.stack.part import Part
from clarity.stack.parts import PARTS, addressed, claim_ports, is_external, with_dependents, with_needs
from clarity.stack.process import Record

_LOCK_PATIENCE_S = 180.0
_HUNG_AFTER_S = 30.0

Progress = Callable[[str, str], None]
"""Called with a part's name and what happens to it, from several threads."""


@dataclass(frozen=True)
class Started:
    """What ``up`` leaves: settings with every address filled in, and the parts that this call started."""

    settings: Settings
    names: tuple[str, ...]


@dataclass
class _Run:
    """One call of ``up``: what it works on, and whether it is to be given up."""

    home: Home
    progress: Progress
    abort: threading.Event = field(default_factory=threading.Event)
    started: list[str] = field(default_factory=list)


def up(settings: Settings, *, parts: Sequence[str] | None = None, on_progress: Progress | None = None) -> Started:
    """Start what does not run, side by side where dependencies allow, and return when every part answers.

    ``parts`` limits it to these and what they need. Safe to repeat and to call from two processes at once. Raises
    StackError, with the last log lines, when a part does not come up; what this call had started is stopped again,
    as it is on KeyboardInterrupt.
    """
    home = Home(settings)
    home.make()
    with _locked(home):
        home.make_secrets()
        return _up(home, with_needs(parts), on_progress)


def revive(settings: Settings, *, on_progress: Progress | None = None) -> Started:
    """Start again the local parts that ended by themselves; what was never started, or was stopped, stays down."""
    home = Home(settings)
    with _locked(home):
        dead = [part.name for part in PARTS if (record := _record(home, part)) is not None and not record.alive()]
        return _up(home, with_needs(dead), on_progress) if dead else Started(settings, ())


def down(settings: Settings, *, parts: Sequence[str] | None = None, on_progress: Progress | None = None) -> list[str]:
    """Stop every local part (or ``parts`` and what needs them), dependents first. Returns the names that ran.

    Nothing of them is left running afterwards; stopping a stopped stack does nothing.
    """
    home = Home(settings)
    if not home.state.exists():
        return []
    names = with_dependents(parts)
    with _locked(home):
        running = [name for name in names if home.record_file(name).exists()]
        _stop_parts(home, names, on_progress)
    return running


def _up(home: Home, chosen: Sequence[Part], on_progress: Progress | None) -> Started:
    local = [part for part in chosen if not is_external(part, home, home.settings)]
    claim_ports(home, local)
    run = _Run(Home(addressed(home, home.settings, local)), on_progress or (lambda _name, _what: None))
    try:
        _bring_up(run, chosen, local)
    except BaseException:
        _stop_parts(home, run.started)
        raise
    return Started(run.home.settings, tuple(run.started))


def _record(home: Home, part: Part) -> Record | None:
    return Record.read(home.record_file(part.name))


def _bring_up(run: _Run, chosen: Sequence[Part], local: Sequence[Part]) -> None:
    futures: dict[str, Future[None]] = {}
    with ThreadPoolExecutor(len(chosen)) as pool:
        try:
            for part in chosen:
                needs = [futures[need] for need in part.needs if need in futures]
                futures[part.name] = pool.submit(_ensure, run, part, part in local, needs)
            done, _ = wait(futures.values(), return_when=FIRST_EXCEPTION)
            if any(future.exception() for future in done):
                run.abort.set()
        except BaseException:
            run.abort.set()
            raise
    for future in futures.values():
        future.result()


def _ensure(run: _Run, part: Part, local: bool, needs: Sequence[Future[None]]) -> None:
    for need in needs:
        need.result()
    if run.abort.is_set():
        return
    if local:
        _ensure_local(run, part)
    else:
        _ensure_external(run, part)
    remark = part.finish(run.home)
    run.progress(part.name, f"ready, {remark}" if remark else "ready")


def _ensure_external(run: _Run, part: Part) -> None:
    run.progress(part.name, "external, asking")
    try:
        part.check(run.home.settings)
    except Exception as error:  # noqa: BLE001  any failure of a foreign service is the same verdict
        raise StackError(
            f"{part.name}: {part.address} does not answer, and nothing local replaces it ({first_line(error)})"
        ) from None


def _ensure_local(run: _Run, part: Part) -> None:
    file = run.home.record_file(part.name)
    record = Record.read(file)
    if record is not None and record.alive():
        same = record.digest == part.command(run.home).digest()
        if same and _answers(run, part, record, _HUNG_AFTER_S):
            return
        run.progress(part.name, "does not answer, starting again" if same else "configured anew, starting again")
        part.stop(run.home)
    run.progress(part.name, "starting")
    command = part.command(run.home)
    try:
        record = process.start(command, mark=run.home.mark(part.name), log=run.home.log(part.name))
    except OSError as error:
        raise StackError(f"{part.name}: {error.strerror} ({command.argv[0]}), not started") from None
    record.write(file)
    run.started.append(part.name)
    if not _answers(run, part, record, part.patience_s) and not run.abort.is_set():
        verdict = "does not answer" if record.alive() else "ended while starting"
        lines = "\n  ".join(process.tail(run.home.log(part.name)))
        raise StackError(f"{part.name}: {verdict}; the last lines of {run.home.log(part.name)}:\n  {lines}")


def _answers(run: _Run, part: Part, record: Record, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline and not run.abort.is_set():
        try:
            part.check(run.home.settings)
        except Exception:  # noqa: BLE001  not answering yet is what is waited for
            if not record.alive():
                return False
            run.abort.wait(0.2)
        else:
            return record.alive()
    return False


def _stop_parts(home: Home, names: Sequence[str], on_progress: Progress | None = None) -> None:
    """Side by side, but none before those that need it."""

    def stop(part: Part, dependents: Sequence[Future[None]]) -> None:
        wait(dependents)
        if part.name in names:
            if on_progress and home.record_file(part.name).exists():
                on_progress(part.name, "stopping")
            part.stop(home)
            home.record_file(part.name).unlink(missing_ok=True)

    stopping: dict[str, Future[None]] = {}
    with ThreadPoolExecutor(len(PARTS)) as pool:
        for part in reversed(PARTS):
            dependents = [stopping[other.name] for other in PARTS if part.name in other.needs]
            stopping[part.name] = pool.submit(stop, part, dependents)
    for stopped in stopping.values():
        stopped.result()


@contextmanager
def _locked(home: Home) -> Iterator[None]:
    """One ``up`` or ``down`` at a time per home; the second waits for the first."""
    with (home.state / "lock").open("w") as lock:
        deadline = time.monotonic() + _LOCK_PATIENCE_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StackError(f"{home.root}: another `up` or `down` holds the stack, given up waiting") from None
                time.sleep(0.2)
        yield
