"""``clarity ingest``, ``clarity data list | show | checkout`` and ``clarity phantoms draw``: the data set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from clarity.settings import Settings
    from clarity.storage.objects import Objects

_JSON = typer.Option(False, "--json", help="Machine-readable.")


def register(app: typer.Typer) -> None:
    """Add this group's commands to the application."""
    app.command()(ingest)
    data = typer.Typer(no_args_is_help=True, help="Versions of the data set.")
    data.command("list")(list_)
    data.command()(show)
    data.command()(checkout)
    app.add_typer(data, name="data")
    phantoms = typer.Typer(no_args_is_help=True, help="Drawn fundus photographs; never a patient's.")
    phantoms.command()(draw)
    app.add_typer(phantoms, name="phantoms")


def ingest(
    path: Annotated[str, typer.Argument(help="Folder, file or s3:// prefix of the photographs.")],
    source: Annotated[str, typer.Option(help="Layout of the folder; found by itself where it is clear.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, change nothing.")] = False,
    column: Annotated[
        list[str] | None,
        typer.Option(help="For --source folder, which it implies: grade=ICDR says that the column ICDR is the grade."),
    ] = None,
    name: Annotated[
        str, typer.Option(help="For --source folder: keeps one clinic's folder apart from others', say clinicA.")
    ] = "",
    workspace: Annotated[str, typer.Option(help="Folder of dvc.yaml; the project's by default.")] = "",
    as_json: bool = _JSON,
) -> None:
    """Take photographs into the data set: checked, hashed, versioned. The same source twice changes nothing."""
    import json
    import os

    from clarity.settings import Settings

    settings = Settings.load()
    settings.need("prefect_api_url")  # else Prefect would start a server of its own, which nobody would find
    columns = _columns(column or [])
    os.environ.update(settings.environment())  # Prefect reads its address while it is imported
    from flows.ingest import ingest as flow

    place = path if path.startswith("s3://") else os.path.realpath(path)  # Path.resolve raises where links turn round
    facts = flow(source or None, place, dry_run, columns or None, workspace or None, name or None)
    typer.echo(json.dumps(facts, indent=2) if as_json else _sentence(facts, dry_run=dry_run))


def list_(as_json: bool = _JSON) -> None:
    """All versions, newest first; * is the one that data.dvc names."""
    import json

    from clarity.data import versions

    settings, objects = _services()
    found = versions.versions(objects)[::-1]
    if as_json:
        said = [{"version": v.version, "created_at": v.created_at.isoformat(), **v.summary} for v in found]
        typer.echo(json.dumps(said, indent=2))
        return
    if not found:
        typer.echo("no version yet; `clarity ingest` makes one")
        return
    _table(found, _present(settings))


def show(version: Annotated[str, typer.Argument(help="Its first digits; this data set's by default.")] = "") -> None:
    """The one-page summary of a version."""
    from clarity.data import replacement, versions
    from clarity.data.workspace import Workspace

    settings, objects = _services()
    typer.echo(versions.show(objects, version or replacement.standing(Workspace(settings.project, settings))))


def checkout(version: Annotated[str, typer.Argument(help="Its first digits.")]) -> None:
    """Make data/ and data.dvc those of a version."""
    from clarity.data import versions
    from clarity.data.workspace import Workspace

    settings, objects = _services()
    workspace = Workspace(settings.project, settings)
    workspace.init()
    typer.echo(f"data/ is version {versions.checkout(workspace, objects, version)}")


def draw(
    folder: Annotated[Path, typer.Argument(help="Made where it is not there.")],
    count: Annotated[int | None, typer.Option(min=1, help="How many; the configuration's count by default.")] = None,
    config: Annotated[str, typer.Option(help="Configuration, below the project's folder.")] = "conf/pipeline.yaml",
) -> None:
    """Draw phantoms with their grades, ready for `clarity ingest`."""
    from clarity import params as parameters
    from clarity.data import phantoms
    from clarity.settings import Settings

    params = parameters.load(Settings.load().project / config)
    phantoms.write(folder, params.phantoms, count)
    typer.echo(f"{folder}: {count or params.phantoms.count} phantoms; `clarity ingest {folder}` takes them in")


def _columns(said: list[str]) -> dict[str, str]:
    from clarity.data.sources.folder import ALIASES

    columns = {}
    for text in said:
        key, equals, name = text.partition("=")
        if not equals or key not in (*ALIASES, "table"):
            raise typer.BadParameter(f"{text!r}: write KEY=COLUMN, KEY one of {', '.join((*ALIASES, 'table'))}")
        columns[key] = name
    return columns


def _services() -> "tuple[Settings, Objects]":
    from clarity.settings import Settings
    from clarity.storage.objects import Objects

    settings = Settings.load()
    settings.need("s3_endpoint_url")
    return settings, Objects(settings)


def _present(settings: "Settings") -> str:
    from clarity.data import replacement
    from clarity.data.workspace import Workspace
    from clarity.errors import WorkspaceError

    try:
        return replacement.standing(Workspace(settings.project, settings))
    except WorkspaceError:
        return ""


def _table(found: list[Any], present: str) -> None:
    from rich.console import Console
    from rich.table import Table

    names = ("", "version", "made (UTC)", "photographs", "patients", "quarantined", "by source")
    table = Table(*names, box=None, pad_edge=False)
    for version in found:
        said = version.summary
        by_source = ", ".join(f"{name} {sum(grades.values())}" for name, grades in said["by_source"].items())
        mark = "*" if version.version == present else ""
        made = f"{version.created_at:%Y-%m-%d %H:%M}"
        figures = [str(said[key]) for key in ("total", "patients", "quarantined")]
        table.add_row(mark, version.version[:12], made, *figures, by_source)
    Console(soft_wrap=True).print(table)  # a version cut short by a narrow terminal would be of no use


def _sentence(facts: dict[str, Any], *, dry_run: bool) -> str:
    from clarity.data.summary import left_out

    left = left_out(facts["unused"], facts["unused_first"])
    counted = (
        f"{facts['seen']} rows of {facts['source']}: {facts['added']} new photographs, {facts['duplicates']} repeats, "
        f"{facts['quarantined']} in quarantine; {facts['near_duplicates']} pairs of patients with nearly the same"
        f"{f'; left out {left}' if left else ''}"
    )
    if dry_run:
        return f"{counted}. Dry run: nothing was changed."
    if not facts["changed"]:
        return f"{counted}. Nothing new: the data set stays {facts['version'][:12]}."
    return (
        f"{counted}. Data set {facts['version'][:12]}, {facts['total']} photographs; see {facts['report']}/summary.md"
    )
