"""``clarity demo``: the whole pipeline on this machine in minutes, and what came of it."""

from pathlib import Path

import typer

REFUSED = 3


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    data: Path | None = typer.Option(
        None, "--data", help="A folder of real photographs in a known layout, instead of phantoms."
    ),
) -> None:
    """Run everything once: ingest, prepare, train, gate, promote, screen, serve; then say what happened."""
    from rich.console import Console

    from clarity.cli.demo import summary
    from clarity.cli.demo.story import Demo
    from clarity.settings import Settings

    console = Console()
    facts = Demo(Settings.load(), data.resolve() if data else None, console).run()
    summary.show(facts, console)
    if not facts.gate["accepted"]:
        raise typer.Exit(REFUSED)
