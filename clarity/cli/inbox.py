"""``clarity inbox push | list | resolve``: captures into the inbox, and what a person has to decide about them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from clarity.params import Params
    from clarity.screening.push import Push, Pushed
    from clarity.settings import Settings
    from clarity.storage.objects import Objects

_CONFIG = Annotated[
    list[str] | None, typer.Option(help="Configuration below the project's folder; later files on top.")
]
_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add this group's commands to the application."""
    inbox = typer.Typer(no_args_is_help=True, help="Captures on their way in, and those that wait for a person.")
    inbox.command()(push)
    inbox.command("list")(list_)
    inbox.command()(resolve)
    app.add_typer(inbox, name="inbox")


def push(
    folder: Annotated[Path, typer.Argument(help="Of photographs, with sidecars or one manifest.csv a folder.")],
    watch: Annotated[bool, typer.Option("--watch", help="Go on with what comes, until Ctrl-C.")] = False,
    prefix: Annotated[str, typer.Option(help="Folder below the inbox, for example clinic-7.")] = "",
    every: Annotated[float, typer.Option(help="With --watch: seconds between two looks.", min=0.1)] = 2.0,
    config: _CONFIG = None,
) -> None:
    """Send a folder to the inbox. Again, only what is new is sent; exit code 1 where a file could not be."""
    from clarity.screening.push import Push

    settings, params = _configured(config)
    place = params.screening.inbox + _below(prefix)
    task = Push(_objects(settings), folder, place, max_bytes=params.imaging.max_bytes)
    if watch:
        _watch(task, every)
        return
    pushed = _push(task)
    _tell(pushed, f"s3://{settings.s3_bucket}/{place}")
    raise typer.Exit(1 if pushed.failed else 0)


def list_(
    kind: Annotated[str, typer.Option(help="Only attribution, conflict, photograph or object.")] = "",
    limit: Annotated[int, typer.Option(help="At most so many, the newest first.", min=1)] = 100,
    as_json: bool = typer.Option(False, "--json", help="Machine-readable."),
) -> None:
    """What waits for a person: its number, why, and whose it is said to be where two claim it."""
    import json

    from clarity.storage import custody, database, quarantine
    from clarity.storage.tables import QUARANTINE_KINDS

    if kind and kind not in QUARANTINE_KINDS:
        raise typer.BadParameter(f"{kind!r}: one of {', '.join(QUARANTINE_KINDS)}", param_hint="--kind")
    engine = _engine()
    try:
        with database.session(engine) as session:
            rows = quarantine.open_rows(session, kind=kind or None, limit=limit)
            counts = quarantine.count_by_kind(session)
            holders = custody.holders(session, [row.sha256 for row in rows if row.claim and row.sha256])
    finally:
        engine.dispose()
    found = [
        {"id": row.id, "kind": row.kind, "key": row.key, "reason": row.reason, "at": row.at.isoformat(),
         "sha256": row.sha256, "run": row.run_id, "claimed": row.claim or None,
         "has_it": _plain(holders.get(row.sha256 or ""))}
        for row in rows
    ]  # fmt: skip
    if as_json:
        typer.echo(json.dumps({"open": counts, "rows": found}, indent=2, ensure_ascii=False))
        return
    for row in found:
        _show(row)
    total = sum(counts.values())
    said = ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))
    typer.echo(f"{total} wait for a person{f' ({said})' if said else ''}; {len(found)} shown")


def resolve(
    number: Annotated[int, typer.Argument(metavar="ID", help="Of `clarity inbox list`.")],
    patient: Annotated[str, typer.Option(help="Pseudonymous id: whose it is.")] = "",
    eye: Annotated[str, typer.Option(help="left or right.")] = "",
    visit: Annotated[str, typer.Option(help="The day of its time by default.")] = "",
    field: Annotated[str, typer.Option(help="For example macula or disc.")] = "",
    visit_type: Annotated[str, typer.Option(help="For example screening or follow-up.")] = "",
    captured_at: Annotated[str, typer.Option(help="ISO 8601; the file's own by default.")] = "",
    keep: Annotated[bool, typer.Option("--keep", help="Two claim it: who has it keeps it.")] = False,
    to: Annotated[str, typer.Option(help="Two claim it: it is this patient's.")] = "",
    dismiss: Annotated[bool, typer.Option("--dismiss", help="Nobody's: not looked at again.")] = False,
    who: Annotated[str, typer.Option("--as", help="Who decides; the login's name by default.")] = "",
    config: _CONFIG = None,
) -> None:
    """Decide about one: say whose it is, who keeps it, or that it is nobody's. Kept with who said so and when."""
    from clarity.screening import resolve as deciding

    if [bool(patient), keep, bool(to), dismiss].count(True) != 1:
        raise typer.BadParameter("say one of --patient (with --eye), --keep, --to PATIENT, --dismiss")
    engine, by = _engine(), _actor(who)
    said = {"patient": patient or to, "eye": eye, "visit": visit, "field": field, "visit_type": visit_type,
            "captured_at": captured_at}  # fmt: skip
    try:
        if keep:
            done = deciding.keep(engine, number, by=by)
        elif to:
            done = deciding.give(engine, number, said, by=by)
        elif dismiss:
            done = deciding.dismiss(engine, number, by=by)
        else:
            settings, params = _configured(config)
            objects, limit = _objects(settings), params.imaging.max_bytes
            done = deciding.attribute(objects, engine, number, said, by=by, max_bytes=limit)
    finally:
        engine.dispose()
    typer.echo(f"{number}  {_printable(done.key)}: {_printable(done.resolution)}")


def _below(prefix: str) -> str:
    """A folder below the inbox: no step up, down or sideways in it."""
    parts = prefix.strip("/").split("/") if prefix.strip("/") else []
    if any(part in ("", ".", "..") or "\\" in part or not part.isprintable() for part in parts):
        raise typer.BadParameter(f"{prefix!r}: not a folder below the inbox", param_hint="--prefix")
    return "".join(f"{part}/" for part in parts)


def _push(task: "Push") -> "Pushed":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn("sending"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        shown = bar.add_task("sending", total=None)
        return task.once(progress=lambda done, total: bar.update(shown, completed=done, total=total))


def _watch(task: "Push", every: float) -> None:
    """Says what is new at each look, and each failure once."""
    told: set[tuple[str, str]] = set()

    def seen(pushed: "Pushed") -> None:
        if pushed.sent:
            typer.echo(f"{pushed.sent} sent, {pushed.waiting} still being written")
        for one in pushed.left:
            if (one.name, one.reason) not in told:
                told.add((one.name, one.reason))
                typer.echo(f"not sent: {_printable(one.name)}: {_printable(one.reason)}", err=True)

    try:
        task.watch(seen, every_s=every)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _tell(pushed: "Pushed", place: str) -> None:
    for one in pushed.failed:
        typer.secho(f"not sent: {_printable(one.name)}: {_printable(one.reason)}", err=True, fg="red")
    others = [one for one in pushed.left if not one.failed]
    for one in others[:_SHOWN]:
        typer.echo(f"left out: {_printable(one.name)}: {one.reason}", err=True)
    if len(others) > _SHOWN:
        typer.echo(f"left out: {len(others) - _SHOWN} more files that are no photographs", err=True)
    said = f"{pushed.sent} sent, {pushed.there} there already, {len(others)} left out, {len(pushed.failed)} failed"
    typer.echo(f"{place}: {said}")


def _show(row: dict[str, Any]) -> None:
    typer.echo(f"{row['id']}  {row['kind']}  {row['at'][:16]}  {_printable(row['key'])}")
    typer.echo(f"    {_printable(row['reason'])}")
    for heading, whose in (("claimed for", row["claimed"]), ("registered for", row["has_it"])):
        if whose:
            said = f"patient {whose['patient']}, {whose['eye']} eye, visit {whose['visit']}"
            typer.echo(f"    {heading} {_printable(said)}")


def _plain(whose: Any) -> dict[str, Any] | None:
    import dataclasses

    return dataclasses.asdict(whose) if whose is not None else None


def _printable(text: str) -> str:
    """Names come from outside: a newline or a terminal's command in one is shown, and not obeyed."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def _actor(who: str) -> str:
    import getpass
    import socket

    return who or f"{getpass.getuser()}@{socket.gethostname()}"


def _configured(config: list[str] | None) -> "tuple[Settings, Params]":
    from clarity import params as parameters
    from clarity.settings import Settings

    settings = Settings.load()
    return settings, parameters.load(*(settings.project / name for name in config or ["conf/pipeline.yaml"]))


def _objects(settings: "Settings") -> "Objects":
    from clarity.storage.objects import Objects

    settings.need("s3_endpoint_url")
    return Objects(settings)


def _engine() -> "Engine":
    from clarity.settings import Settings
    from clarity.storage import database

    return database.engine(Settings.load().need("database_url"))
