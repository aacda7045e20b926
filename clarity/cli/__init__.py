"""``clarity``: the one door for people. Every command imports what it needs when it runs, so ``--help`` is instant."""

import sys

import typer

from clarity.cli import bench, data, demo, drill, export, inbox, key, model, patients, screen, serve, stack, worklist
from clarity.errors import ClarityError

app = typer.Typer(
    name="clarity",
    help="Diabetic retinopathy screening: photographs to graded, explained, traceable results.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

for group in (demo, stack, data, model, inbox, screen, worklist, patients, export, serve, key, bench, drill):
    group.register(app)


def main() -> None:
    """Run a command; a named error becomes one line on stderr and exit code 1."""
    try:
        app()
    except ClarityError as error:
        typer.secho(f"{type(error).__name__}: {error}", err=True, fg="red")
        sys.exit(1)
