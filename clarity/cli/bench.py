"""``clarity bench``: this machine as ratios to the usual way of doing the same, both sides measured in one run."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clarity.errors import ParameterError

if TYPE_CHECKING:
    from rich.console import Console

    from clarity.bench.rows import Row

USUAL = ("imaging", "inference", "screening", "training", "serving")
NAMES = (*USUAL, "scale", "database")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(bench)


def bench(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Of {', '.join(NAMES)}; the first five where none is named.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Photographs to measure on, instead of drawn phantoms.")] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="imaging: a bundle whose grades by both paths are compared too.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Timed repeats of each side, interleaved.")] = 9,
    captures: Annotated[
        int, typer.Option("--rows", min=1000, help="Captures in the database that is measured; 2 kB of disk each.")
    ] = 5_000_000,
    quick: Annotated[
        bool, typer.Option("--quick", help="serving: seconds instead of minutes, to see that it works.")
    ] = False,
    output: Annotated[Path | None, typer.Option("--json", help="Write the rows to this file too.")] = None,
    page: Annotated[Path | None, typer.Option("--page", help="Write them as a page of the documentation.")] = None,
    check: Annotated[bool, typer.Option("--check", help="End with 1 where a row does not hold.")] = False,
) -> None:
    """Measure this machine: medians, both sides on the same inputs and threads, results held equal before timing."""
    from rich.console import Console

    from clarity.bench import page as pages
    from clarity.bench.rows import machine

    console = Console()
    rows: list[Row] = []
    try:
        for row in _run(console, names or list(USUAL), images, repeats, bundle, captures, quick):
            rows.append(row)
    finally:  # a bench that fails takes nothing from those before it, and no page either
        console.print(pages.table(rows))
        if output:
            facts = {"machine": machine(), "rows": [row.plain() for row in rows]}
            output.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    if page:
        page.write_text(pages.markdown(rows, machine()), encoding="utf-8")
    if check and not all(row.holds for row in rows):
        raise typer.Exit(1)


def _run(
    console: "Console",
    names: list[str],
    images: Path | None,
    repeats: int,
    bundle: Path | None,
    captures: int,
    quick: bool,
) -> "Iterable[Row]":
    for name in names:
        with console.status(f"bench {name}"):
            yield from _bench(name, bundle, captures, quick)(images, repeats)


def _bench(name: str, bundle: Path | None, captures: int, quick: bool) -> "Callable[[Path | None, int], list[Row]]":
    if name == "imaging":
        from clarity.bench import imaging

        return lambda images, repeats: imaging.rows(images, repeats, bundle)
    if name == "inference":
        from clarity.bench import inference

        return lambda _images, repeats: inference.rows(repeats)
    if name == "screening":
        from clarity.bench import screening

        return screening.rows
    if name == "training":
        from clarity.bench import training

        return lambda _images, repeats: training.rows(repeats)
    if name == "serving":
        from clarity.bench import serving
        from clarity.bench.online import plan

        return lambda images, _repeats: serving.rows(images, plan.QUICK if quick else plan.FULL)
    if name == "scale":
        from clarity.bench import scale

        return scale.rows
    if name == "database":
        from clarity.bench import database

        return lambda _images, _repeats: database.rows(captures)
    raise ParameterError(f"bench {name}: unknown, one of {', '.join(NAMES)}")
