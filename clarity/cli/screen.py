"""``clarity screen``: tonight's captures, now."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from clarity.screening.report import Summary
    from clarity.settings import Settings


def register(app: typer.Typer) -> None:
    """Add this group's commands to the application."""
    app.command()(screen)


def screen(
    config: Annotated[
        list[str] | None, typer.Option(help="Configuration below the project's folder; later files on top.")
    ] = None,
    rescore: Annotated[
        bool, typer.Option("--rescore", help="Score history again with the champion, beside what was said before.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Grade nothing: mend what dead nights left in the store and the tables.")
    ] = False,
) -> None:
    """Grade what waits in the inbox: quality, grade, heatmap, outcome. Run again, nothing doubles."""
    import os
    from datetime import UTC, datetime
    from uuid import uuid4

    from clarity.errors import ScreeningIncomplete
    from clarity.settings import Settings

    settings = Settings.load()
    os.environ.update(settings.environment())  # before Prefect is imported: it reads its server's address then
    if repair:
        _repair(settings, config or ["conf/pipeline.yaml"])
        return
    from flows.screen import screen as night

    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid4().hex[:6]}"
    failure: ScreeningIncomplete | None = None
    try:
        night(config or ["conf/pipeline.yaml"], run_id, rescore)
    except ScreeningIncomplete as error:
        failure = error
    _show(settings, run_id)
    if failure is not None:
        raise failure


def _repair(settings: "Settings", config: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    from clarity import params as parameters
    from clarity.errors import RepairIncomplete
    from flows import screening_steps

    console = Console()
    with console.status("repair"):
        done = screening_steps.mend(parameters.load(*(settings.project / name for name in config)))
    table = Table(title="Repair", min_width=60)
    table.add_column("")
    table.add_column("", justify="right")
    for name, count in done.counts().items():
        table.add_row(name.replace("_", " "), str(count))
    console.print(table)
    if done.failures:
        raise RepairIncomplete(f"{len(done.failures)} not mended, first: {done.failures[0]}")


def _show(settings: "Settings", run_id: str) -> None:
    """What the run wrote, read back from the database; nothing where that stays away."""
    from clarity.errors import StorageError
    from clarity.screening import report
    from clarity.storage import database, runs

    engine = database.engine(settings.need("database_url"))
    try:
        with database.session(engine) as session:
            run = runs.get(session, run_id)
    except StorageError:
        return
    finally:
        engine.dispose()
    if run is not None and run.counts:
        _print(report.Summary(**run.counts))


def _print(summary: "Summary") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from clarity import grades

    table = Table(title=f"Screening {summary.run}: {summary.status}", caption=summary.notice, min_width=60)
    table.add_column("", overflow="fold")
    table.add_column("", justify="right")
    table.add_row("model version", f"{summary.model} {summary.model_version}")
    for name in ("registered", "scored", "ungradable", "quarantined", "failed"):
        table.add_row(name, str(getattr(summary, name)))
    table.add_section()
    for name, count in summary.outcomes.items():
        table.add_row(f"outcome: {name}", str(count))
    table.add_section()
    for grade, count in summary.grades.items():
        table.add_row(f"grade {grade}, {grades.name(int(grade))}", str(count))
    table.add_section()
    table.add_row("seconds", f"{summary.seconds:.1f}")
    table.add_row("report in the object store", summary.report)
    console = Console()
    console.print(table)
    for row in summary.quarantine[:20]:
        console.print(f"quarantine: {escape(row['key'])}: {escape(row['reason'])}", highlight=False)
    if summary.waiting_for_a_person > 20:
        console.print(f"{summary.waiting_for_a_person} objects wait for a person in the quarantine.")
