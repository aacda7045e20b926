"""``clarity train`` and ``clarity model list | show | promote | rollback``: which model grades, and why."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from clarity.registry.models import Registry

REFUSED = 3
"""Exit code of a training whose model the gate refused: nothing failed, and the champion stays."""
_NAME = typer.Option("", "--name", help="Model in the registry; the configuration's model.name by default.")
_CONFIG = typer.Option(None, "--config", help="Configuration below the project's folder; later files on top.")
_JSON = typer.Option(False, "--json", help="Machine-readable.")
_WHY = typer.Option(..., "--why", help="The reason, for the ledger.")
_WHO = typer.Option("", "--who", help="Who decides it; you, by default.")


def register(app: typer.Typer) -> None:
    """Add this group's commands to the application."""
    app.command()(train)
    model = typer.Typer(no_args_is_help=True, help="Model versions: which is promoted, and why.")
    model.command("list")(list_)
    model.command()(show)
    model.command()(promote)
    model.command()(rollback)
    app.add_typer(model, name="model")


def train(
    workspace: str = typer.Option("", "--workspace", help="Folder of dvc.yaml; the project's by default."),
    as_json: bool = _JSON,
) -> None:
    """Bring the model up to date with data and code; promote it if the gate lets it.

    Exit code 0: the model of this data and code is the champion. 3: the gate refused it, the champion stays.
    1: something failed.
    """
    import json
    import os

    from clarity.settings import Settings

    settings = Settings.load()
    settings.need("prefect_api_url")  # else Prefect would start a server of its own, which nobody would find
    os.environ.update(settings.environment())  # Prefect reads its address while it is imported
    from flows.train import train as flow

    state = flow(workspace=workspace or None, return_state=True)
    facts: dict[str, Any] = state.result()  # raises what the flow raised
    if as_json:
        typer.echo(json.dumps(facts, indent=2, default=str))
    else:
        for stage, what in facts["stages"].items():
            typer.echo(f"{stage:10} {what}")
        _say(str(state.message), facts["reasons"])
    if facts["decision"] in ("refused", "withdrawn"):
        raise typer.Exit(REFUSED)


def list_(name: str = _NAME, config: list[str] | None = _CONFIG, as_json: bool = _JSON) -> None:
    """All versions, newest first, and which one is promoted."""
    import dataclasses
    import json

    with _services(name, config) as (registry, _, name):
        refs = registry.list(name)
        tags = {ref.version: registry.tags(ref) for ref in refs}
        nothing = "" if refs else _nothing(registry, name)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(ref) | {"tags": tags[ref.version]} for ref in refs], indent=2))
        return
    if not refs:
        typer.echo(nothing)
        return
    rows = [
        (ref.version, ref.alias or "", own.get("clarity.gate", ""), own.get("clarity.data_version", "")[:12],
         own.get("clarity.git_commit", "")[:12], own.get("clarity.backbone", ""), ref.run_id)
        for ref, own in ((ref, tags[ref.version]) for ref in refs)
    ]  # fmt: skip
    _table(("version", "alias", "gate", "data", "commit", "backbone", "run"), rows)


def show(
    version: str = typer.Argument("", help="Version; the champion by default."),
    name: str = _NAME,
    config: list[str] | None = _CONFIG,
    as_json: bool = _JSON,
) -> None:
    """One version: where it comes from, and everything the ledger says of it."""
    import dataclasses
    import json

    from clarity.registry import ledger

    with _services(name, config) as (registry, engine, name):
        _need(registry, name)
        ref = registry.get(name, version) if version else registry.champion(name)
        tags = registry.tags(ref)
        rows = [entry for entry in ledger.history(engine, name) if entry.version == ref.version]
    if as_json:
        entries = [dataclasses.asdict(entry) for entry in rows]
        facts = dataclasses.asdict(ref) | {"tags": tags, "ledger": entries}
        typer.echo(json.dumps(facts, indent=2, default=str))
        return
    typer.echo(f"{ref.name} version {ref.version}{f', {ref.alias}' if ref.alias else ''}")
    for key, value in sorted(tags.items()):
        if key != "clarity.gate_reasons":
            typer.echo(f"  {key.removeprefix('clarity.'):28} {value}")
    for entry in rows:
        _say(f"{entry.at:%Y-%m-%d %H:%M} UTC  {entry.action} by {entry.actor}", entry.reasons)


def promote(
    version: str = typer.Argument(..., help="Version to promote."),
    why: str = _WHY,
    who: str = _WHO,
    name: str = _NAME,
    config: list[str] | None = _CONFIG,
) -> None:
    """Make a version the champion by hand, whatever the gate said; the ledger keeps who and why."""
    from clarity.registry import promotion

    with _services(name, config) as (registry, engine, name):
        _need(registry, name)
        ref = promotion.promote(registry, engine, registry.get(name, version), actor=_actor(who), reasons=(why,))
    typer.echo(f"{ref.name} version {ref.version} is the champion")


def rollback(why: str = _WHY, who: str = _WHO, name: str = _NAME, config: list[str] | None = _CONFIG) -> None:
    """Return to the version that was champion before; the ledger keeps who and why."""
    from clarity.registry import promotion

    with _services(name, config) as (registry, engine, name):
        _need(registry, name)
        ref = promotion.rollback(registry, engine, name, actor=_actor(who), reasons=(why,))
    typer.echo(f"{ref.name} version {ref.version} is the champion again")


@contextmanager
def _services(name: str, config: list[str] | None) -> "Iterator[tuple[Registry, Engine, str]]":
    """The registry, the ledger's database and which model is meant."""
    from clarity import params
    from clarity.registry.services import opened
    from clarity.settings import Settings

    settings = Settings.load()
    files = [settings.project / file for file in config or ["conf/pipeline.yaml"]]
    with opened(settings) as (registry, engine):
        yield registry, engine, name or params.load(*files).model.name


def _need(registry: "Registry", name: str) -> None:
    from clarity.errors import NoModel

    if not registry.list(name):
        raise NoModel(_nothing(registry, name))


def _nothing(registry: "Registry", name: str) -> str:
    others = [other for other in registry.names() if other != name]
    there_are = f"; --name takes one of {', '.join(others)}" if others else ""
    return f"model {name}: no version yet, `clarity train` makes one{there_are}"


def _actor(who: str) -> str:
    import getpass
    import socket

    return who or f"{getpass.getuser()}@{socket.gethostname()}"


def _say(heading: str, lines: Iterable[str]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(heading, markup=False, style="bold")
    for line in lines:
        style = "red" if line.startswith("failed") else None
        console.print(f"  {line}", markup=False, style=style)


def _table(columns: tuple[str, ...], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, soft_wrap=True).print(table)
