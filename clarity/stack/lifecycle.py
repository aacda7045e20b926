"""Start, stop and look at the parts of the local stack; each part whose address is in the environment is left alone."""

import fcntl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field

from pydantic import SecretStr

from clarity.errors import StackError
from clarity.settings import Settings
from clarity.stack import process
from clarity.stack.addresses import Home
from clarity.stack.part import Part, PartStatus
from clarity.stack.postgres import Postgres
from clarity.stack.process import Record
from clarity.stack.s3 import ObjectStore

PARTS: tuple[Part, ...] = (Postgres(), ObjectStore())
_BY_NAME = {part.name: part for part in PARTS}
_LOCK_PATIENCE_S = 180.0

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
    chosen = _with_needs(parts)
    with _locked(home):
        local = [part for part in chosen if not is_external(part, home, settings)]
        _claim_ports(home, local)
        run = _Run(Home(_addressed(home, settings, local)), on_progress or (lambda _name, _what: None))
        try:
            _bring_up(run, chosen, local)
        except BaseException:
            _stop_parts(home, run.started)
            raise
    return Started(run.home.settings, tuple(run.started))


def down(settings: Settings, *, parts: Sequence[str] | None = None, on_progress: Progress | None = None) -> list[str]:
    """Stop every local part (or ``parts`` and what needs them), dependents first. Returns the names that ran.

    Nothing of them is left running afterwards; stopping a stopped stack does nothing.
    """
    home = Home(settings)
    if not home.state.exists():
        return []
    names = _with_dependents(parts)
    with _locked(home):
        running = [name for name in names if Record.read(home.record_file(name)) is not None]
        _stop_parts(home, names, on_progress)
    return running


def status(settings: Settings) -> list[PartStatus]:
    """How every part is now; asks all of them at once and changes nothing."""
    home = Home(settings)
    with ThreadPoolExecutor(len(PARTS)) as pool:
        return list(pool.map(lambda part: _status(part, home, settings), PARTS))


def is_external(part: Part, home: Home, settings: Settings) -> bool:
    """Whether the part's address comes from outside, and not from the file that the local stack itself wrote."""
    if part.address is None:
        return False
    value = _value(settings, part.address)
    return value is not None and home.local_addresses().get(part.address) != value


def _value(settings: Settings, alias: str) -> str | None:
    field_name = next(name for name, info in Settings.model_fields.items() if info.alias == alias)
    return None if getattr(settings, field_name) is None else settings.need(field_name)


def _with_needs(names: Sequence[str] | None) -> list[Part]:
    wanted = set(names if names is not None else _BY_NAME)
    if unknown := wanted - set(_BY_NAME):
        raise StackError(f"{', '.join(sorted(unknown))}: not a part of the stack, which has {', '.join(_BY_NAME)}")
    for part in reversed(PARTS):
        if part.name in wanted:
            wanted |= set(part.needs)
    return [part for part in PARTS if part.name in wanted]


def _with_dependents(names: Sequence[str] | None) -> list[str]:
    wanted = set(names if names is not None else _BY_NAME)
    for part in PARTS:
        if wanted & set(part.needs):
            wanted.add(part.name)
    return [part.name for part in PARTS if part.name in wanted]


def _claim_ports(home: Home, local: Sequence[Part]) -> None:
    ports = home.ports
    for part in local:
        record = Record.read(home.record_file(part.name))
        ports.claim(part.ports, renew=record is None or not record.alive())


def _addressed(home: Home, settings: Settings, local: Sequence[Part]) -> Settings:
    """Fill in the local parts' addresses, and keep them in the file for every later command."""
    kept = home.local_addresses()
    for part in PARTS:
        if is_external(part, home, settings):
            for name in part.variables(home) if part.ports[0] in home.ports else ():
                kept.pop(name, None)
    for part in local:
        kept |= part.variables(home)
    home.write_addresses(kept)
    update: dict[str, object] = {}
    for name, info in Settings.model_fields.items():
        if info.alias in kept:
            secret = "SecretStr" in str(info.annotation)
            update[name] = SecretStr(kept[info.alias]) if secret else kept[info.alias]
    return settings.model_copy(update=update)


def _bring_up(run: _Run, chosen: Sequence[Part], local: Sequence[Part]) -> None:
    futures: dict[str, Future[None]] = {}
    with ThreadPoolExecutor(len(chosen)) as pool:
        try:
            for part in chosen:
                needs = [futures[need] for need in part.needs if need in futures]
                futures[part.name] = pool.submit(_ensure, run, part, part in local, needs)
            done, _ = wait(futures.values(), return_when=FIRST_EXCEPTION)
            run.abort.set() if any(future.exception() for future in done) else None
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
    part.finish(run.home)
    run.progress(part.name, "ready")


def _ensure_external(run: _Run, part: Part) -> None:
    run.progress(part.name, "external, asking")
    try:
        part.check(run.home.settings)
    except Exception as error:  # noqa: BLE001  any failure of a foreign service is the same verdict
        raise StackError(
            f"{part.name}: {part.address} does not answer ({_line(error)}), and nothing local replaces it"
        ) from None


def _ensure_local(run: _Run, part: Part) -> None:
    file = run.home.record_file(part.name)
    record = Record.read(file)
    if record is not None and record.alive():
        same = record.digest == part.command(run.home).digest()
        if same and _answers(run, part, record, patience_s=10):
            return
        run.progress(part.name, "does not answer, starting again" if same else "configured anew, starting again")
    part.stop(run.home)  # also what a crash has left of it
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
    """Dependents first: the reverse of the order in which parts are listed."""
    for part in reversed(PARTS):
        if part.name in names:
            if on_progress:
                on_progress(part.name, "stopping")
            part.stop(home)
            home.record_file(part.name).unlink(missing_ok=True)


def _status(part: Part, home: Home, settings: Settings) -> PartStatus:
    external = is_external(part, home, settings)
    record = None if external else Record.read(home.record_file(part.name))
    alive = record is not None and record.alive()
    state, detail, log_tail = "running", "", []
    try:
        url = part.url(settings) if external or alive else ""
        if external or alive:
            part.check(settings)
        else:
            state = "stopped" if record is None else "dead"
    except Exception as error:  # noqa: BLE001  whatever goes wrong is the part's state
        url, state, detail = "", "unreachable" if external else "unhealthy", _line(error)
    if state in ("dead", "unhealthy"):
        log_tail = process.tail(home.log(part.name))
    return PartStatus(part.name, state, url, record.pid if alive and record else None, log_tail, external, detail)


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


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
