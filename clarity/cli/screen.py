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

    from clarity.errors import LimitPassed, ScreeningIncomplete
    from clarity.settings import Settings

    settings = Settings.load()
    os.environ.update(settings.environment())  # before Prefect is imported: it reads its server's address then
    if repair:
        _repair(settings, config or ["conf/pipeline.yaml"])
        return
    from flows.screen import screen as night

    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid4().hex[:6]}"
    failure: ScreeningIncomplete | LimitPassed | None = None
    try:
        night(config or ["conf/pipeline.yaml"], run_id, rescore)
    except (ScreeningIncomplete, LimitPassed) as error:
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
        summary = report.Summary(**run.counts)
        _print(summary, _link(settings, summary))


def _link(settings: "Settings", summary: "Summary") -> str | None:
    """Where a browser opens the report for an hour, without keys; None where the store does not have it."""
    from clarity.errors import ClarityError
    from clarity.storage.objects import Objects

    objects, key = Objects(settings), f"{summary.report}report.html"
    try:
        return objects.presign(key, seconds=3600) if objects.exists(key) else None
    except ClarityError:
        return None


def _print(summary: "Summary", link: str | None = None) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from clarity.screening import report

    table = Table(title=f"Screening {summary.run}: {summary.status}", caption=summary.notice, min_width=60)
    table.add_column("", overflow="fold")
    table.add_column("", justify="right", overflow="fold")
    for name, value in report.rows(summary):
        if name in ("waiting in quarantine", "failed", "seconds", "model version"):
            table.add_section()
        table.add_row(escape(name), escape(value))
    console = Console()
    console.print(table)
    for title, said in report.sentences(summary).items():
        for sentence in said:
            console.print(escape(f"{title.lower()}: {sentence}"), highlight=False)
    for row in summary.quarantine[:20]:
        others = f" (and {row['count'] - 1} more of this kind)" if row["count"] > 1 else ""
        console.print(escape(f"quarantine: {row['key']}: {row['reason']}{others}"), highlight=False)
    hidden = max(0, len(summary.quarantine) - 20) + summary.quarantine_more
    if hidden:
        console.print(f"{hidden} more kinds of reason: see the report.")
    if link:
        console.print(f"open the report (for an hour): {link}", highlight=False, markup=False, soft_wrap=True)
