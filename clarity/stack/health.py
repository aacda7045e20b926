"""How the parts are at this moment, without changing anything."""

from concurrent.futures import ThreadPoolExecutor

from clarity.settings import Settings
from clarity.stack import process
from clarity.stack.addresses import Home
from clarity.stack.part import Part, PartStatus
from clarity.stack.parts import PARTS, is_external, with_addresses
from clarity.stack.process import Record


def status(settings: Settings) -> list[PartStatus]:
    """How every part is now; asks all of them at once and changes nothing."""
    home = Home(settings)
    known = home.local_addresses()
    local = [part for part in PARTS if part.address in known and not is_external(part, home, settings)]
    settings = with_addresses(settings, {k: v for part in local for k, v in known.items() if k in part.variables(home)})
    with ThreadPoolExecutor(len(PARTS)) as pool:
        return list(pool.map(lambda part: _status(part, home, settings), PARTS))


def first_line(error: BaseException) -> str:
    """An error in one line of at most 300 characters."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def _status(part: Part, home: Home, settings: Settings) -> PartStatus:
    external = is_external(part, home, settings)
    record = None if external else Record.read(home.record_file(part.name))
    alive = record is not None and record.alive()
    if not external and not alive:
        state, detail = ("stopped" if record is None else "dead"), ""
    else:
        state, detail = _asked(part, home, settings, external)
    return PartStatus(
        name=part.name,
        state=state,
        url=_url(part, settings) if external or alive else "",
        pid=record.pid if record is not None and alive else None,
        log_tail=process.tail(home.log(part.name)) if state in ("dead", "unhealthy") else [],
        external=external,
        detail=detail,
    )


def _asked(part: Part, home: Home, settings: Settings, external: bool) -> tuple[str, str]:
    try:
        part.check(settings)
        trouble = part.trouble(home)
    except Exception as error:  # noqa: BLE001  whatever goes wrong is the part's state
        return ("unreachable" if external else "unhealthy"), first_line(error)
    return ("unhealthy", trouble) if trouble else ("running", "")


def _url(part: Part, settings: Settings) -> str:
    try:
        return part.url(settings)
    except Exception:  # noqa: BLE001  a malformed address is told by the check
        return ""
