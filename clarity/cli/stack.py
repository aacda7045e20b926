"""``clarity up | down | status`` and ``clarity db upgrade``: the local stack from the command line."""

import typer


def register(app: typer.Typer) -> None:
    """Add this group's commands to the application."""
    app.command()(up)
    app.command()(down)
    app.command()(status)
    database = typer.Typer(no_args_is_help=True, help="The clarity database.")
    database.command()(upgrade)
    app.add_typer(database, name="db")


def up(detach: bool = typer.Option(False, "--detach", help="Return when everything answers.")) -> None:
    """Start the local stack; parts whose address is in the environment are used as they are."""
    from clarity import stack
    from clarity.settings import Settings

    stack.up(Settings.load(), on_progress=lambda name, what: typer.echo(f"{name}: {what}", err=True))


def down() -> None:
    """Stop every part of the local stack."""
    from clarity import stack
    from clarity.settings import Settings

    stack.down(Settings.load(), on_progress=lambda name, what: typer.echo(f"{name}: {what}", err=True))


def status(as_json: bool = typer.Option(False, "--json", help="Machine-readable.")) -> None:
    """Say how every part of the stack is."""
    import dataclasses
    import json

    from clarity import stack
    from clarity.settings import Settings

    typer.echo(json.dumps([dataclasses.asdict(part) for part in stack.status(Settings.load())], indent=2))


def upgrade() -> None:
    """Bring the clarity database to this version's tables."""
    from clarity.settings import Settings
    from clarity.storage import database

    database.upgrade(Settings.load().need("database_url"))
