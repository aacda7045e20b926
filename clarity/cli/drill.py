"""``clarity drill``: faults on purpose, on real parts of its own, and what holds after each."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from clarity.drill.drill import Result
    from clarity.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(drill)


def drill(
    bundle: Annotated[Path | None, typer.Option(help="A bundle; the champion where none is given.")] = None,
    kills: Annotated[int, typer.Option(min=0, help="Kills at random moments.")] = 50,
    every: Annotated[int, typer.Option(min=1, help="Kill at every n-th boundary between steps and writes.")] = 1,
    only: Annotated[list[str] | None, typer.Option(help="Only faults whose name contains this.")] = None,
    output: Annotated[Path | None, typer.Option("--json", help="Write the results to this file too.")] = None,
) -> None:
    """Kill, starve and double nights of screening; check after each that every capture has exactly one end.

    Uses Prefect and MLflow of the running stack, and a PostgreSQL and an S3 of its own to break. Ends with 1 where
    anything did not hold.
    """
    from dataclasses import asdict

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from clarity.drill.drill import drill as run
    from clarity.settings import Settings

    settings = Settings.load()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    results: list[Result] = []
    with Progress(*columns) as progress:
        bar = progress.add_task("drill", total=None)
        for result in run(
            settings,
            bundle or _champion(settings),
            kills=kills,
            every=every,
            only=only or (),
            announce=lambda total: progress.update(bar, total=total),
        ):
            results.append(result)
            progress.update(bar, advance=1, description=result.fault)
            progress.console.print(_line(result), highlight=False, markup=False)
    if output:
        output.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n", encoding="utf-8")
    failed = [result for result in results if result.wrong]
    typer.echo(f"{len(results)} faults, {results[-1].captures if results else 0} captures, {len(failed)} did not hold")
    if failed:
        raise typer.Exit(1)


def _line(result: "Result") -> str:
    if not result.wrong:
        return f"holds   {result.seconds:6.1f} s  {result.fault}"
    return f"BROKEN  {result.seconds:6.1f} s  {result.fault}\n" + "\n".join(
        f"        {sentence}" for sentence in result.wrong[:10]
    )


def _champion(settings: "Settings") -> Path:
    from clarity import params as parameters
    from clarity.registry.models import Registry

    registry = Registry(settings.need("mlflow_tracking_uri"))
    name = parameters.load(settings.project / "conf/pipeline.yaml").model.name
    return registry.fetch(registry.champion(name), settings.home / "models")
