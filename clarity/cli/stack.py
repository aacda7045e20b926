"""``clarity up | down | status`` and ``clarity db upgrade``: the local stack from the command line."""

import dataclasses
import json
import signal
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from clarity.settings import Settings
    from clarity.stack import PartStatus

_PART = typer.Option([], help="Only this part and what it needs: postgres, s3, prefect, mlflow, serving, worker.")
_WATCH_S = 5.0
_MAX_RESTARTS = 3
_COLOURS = {"running": "green", "stopped": "dim", "dead": "red", "unreachable": "red", "unhealthy": "yellow"}


def register(app: typer.Typer) -> None:
    """Add this group's commands to the application."""
    app.command()(up)
    app.command()(down)
    app.command()(status)
    database = typer.Typer(no_args_is_help=True, help="The clarity database.")
    database.command("upgrade")(upgrade)
    app.add_typer(database, name="db")


def up(
    detach: bool = typer.Option(False, "--detach", "-d", help="Return when everything answers; stop with `down`."),
    part: list[str] = _PART,
    config: list[str] = typer.Option([], help="For the service: conf/pipeline.yaml, then overlays in order (repeat)."),
) -> None:
    """Start PostgreSQL, S3, Prefect, MLflow, the online service and a worker; Ctrl-C stops what this command started.

    A part whose address is in the environment (see .env.example) is used as it is, and nothing local replaces it.
    """
    from clarity.settings import Settings

    settings = Settings.load()
    if config:
        settings = settings.model_copy(update={"serving_config": ",".join(config)})
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # `nohup` keeps its meaning
            signal.signal(number, _interrupt)
    started: list[str] = []
    try:
        started += _start(settings, part or None)
        if not detach:
            _watch(settings, started)
    except KeyboardInterrupt:
        _stop(settings, started)
        raise typer.Exit(0 if started else 130) from None


def down() -> None:
    """Stop every local part; nothing of it is left running."""
    from clarity.settings import Settings

    _stop(Settings.load(), None)


def status(as_json: bool = typer.Option(False, "--json", help="The same facts for a program.")) -> None:
    """Say how every part is; a dead one with the last lines of its log. Exit code 1 unless all of them run."""
    from rich.console import Console

    from clarity import stack
    from clarity.settings import Settings

    parts = stack.status(Settings.load())
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(part) for part in parts], indent=2))
    else:
        Console().print(_table(parts))
        _tell(parts)
    raise typer.Exit(0 if all(part.state == "running" for part in parts) else 1)


def upgrade() -> None:
    """Bring the clarity database to this version's tables; harmless when they are there."""
    from clarity.settings import Settings
    from clarity.storage import database

    database.upgrade(Settings.load().need("database_url"))
    typer.echo("clarity database: its tables are those of this version")


def _start(settings: "Settings", parts: Sequence[str] | None) -> tuple[str, ...]:
    from rich.console import Console

    from clarity import stack

    begun = time.monotonic()
    console = Console(stderr=True)

    def tell(name: str, what: str) -> None:
        console.print(f"{time.monotonic() - begun:6.1f} s  {name:<9} {what}", markup=False, highlight=False)

    return stack.up(settings, parts=parts, on_progress=tell).names


def _watch(settings: "Settings", started: list[str]) -> None:
    """Show the parts until interrupted; start a part again that ends by itself, a few times."""
    from rich.console import Console
    from rich.live import Live

    from clarity import stack

    console, restarts = Console(), Counter[str]()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        shown: list[tuple[str, str]] = []
        while True:
            parts = stack.status(settings)
            states = [(part.name, part.state) for part in parts]
            if states != shown and not console.is_terminal:
                typer.echo("\n".join(f"{part.name}: {part.state} {part.url}" for part in parts))
            shown = states
            live.update(_table(parts), refresh=console.is_terminal)
            if all(part.external or part.state == "stopped" for part in parts):
                return  # `clarity down` was typed elsewhere
            dead = [part for part in parts if part.state == "dead" and restarts[part.name] < _MAX_RESTARTS]
            if dead:
                _tell(dead)
                restarts.update(part.name for part in dead)
                started += _revive(settings)
            time.sleep(_WATCH_S)


def _revive(settings: "Settings") -> tuple[str, ...]:
    from clarity import stack
    from clarity.errors import StackError

    try:
        return stack.revive(settings, on_progress=lambda name, what: typer.echo(f"{name}: {what}", err=True)).names
    except StackError as error:
        typer.secho(str(error), err=True, fg="red")
        return ()


def _stop(settings: "Settings", names: Sequence[str] | None) -> None:
    from clarity import stack

    if names is not None and not names:
        typer.echo("nothing was started here, nothing is stopped", err=True)
        return
    stopped = stack.down(settings, parts=names, on_progress=lambda name, what: typer.echo(f"{name}: {what}", err=True))
    typer.echo(f"stopped: {', '.join(stopped) or 'nothing was running'}", err=True)


def _table(parts: "Sequence[PartStatus]") -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in ("part", "state", "where", "pid"):
        table.add_column(heading)
    for part in parts:
        state = Text(part.state + (" (external)" if part.external else ""), style=_COLOURS[part.state])
        table.add_row(part.name, state, Text(part.url), str(part.pid or ""))
    return table


def _tell(parts: "Sequence[PartStatus]") -> None:
    """Why a part does not run, and the last it said."""
    for part in parts:
        if part.detail or part.log_tail:
            typer.echo(f"\n{part.name}: {part.detail or part.state}", err=True)
            typer.echo("".join(f"  {line}\n" for line in part.log_tail), err=True, nl=False)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
