"""``clarity worklist`` and ``clarity review``: what a person looks at first, and what that person decides."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from clarity.screening.review import Decided
    from clarity.storage.worklist import Entry, Page

_PRIORITIES = ("vision-threatening", "referable", "uncertain", "ungradable or incomplete")
_ORDER = "0 vision-threatening, 1 referable, 2 uncertain, 3 ungradable or incomplete."


def register(app: typer.Typer) -> None:
    """Add this group's commands to the application."""
    app.command()(worklist)
    app.command()(review)


def worklist(
    limit: Annotated[int, typer.Option(help="Visits on a page.", min=1, max=1000)] = 20,
    after: Annotated[str, typer.Option(help="Where the page before ended.")] = "",
    priority: Annotated[int | None, typer.Option(help=_ORDER, min=0, max=3)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Visits that wait for a person: vision-threatening first, then referable, uncertain, ungradable."""
    from clarity.settings import Settings
    from clarity.storage import database
    from clarity.storage import worklist as stored

    engine = database.engine(Settings.load().need("database_url"))
    cursor = stored.Cursor.parse(after) if after else None
    try:
        with database.session(engine) as session:
            page = stored.page(session, cursor, stored.Filters(priority=priority), limit)
    finally:
        engine.dispose()
    if as_json:
        _print_json(page)
    else:
        _print(page)


def review(
    sha256: Annotated[str, typer.Argument(help="Of the capture; its first 8 digits do.")],
    reviewer: Annotated[str, typer.Option(help="Pseudonymous id of who decides.")],
    agree: Annotated[bool, typer.Option("--agree", help="The model is right.")] = False,
    grade: Annotated[int | None, typer.Option(help="Another ICDR grade, 0 to 4.", min=0, max=4)] = None,
    ungradable: Annotated[bool, typer.Option("--ungradable", help="Nobody can tell from this photograph.")] = False,
    comment: Annotated[str | None, typer.Option(help="Kept with the decision; never a name.")] = None,
    config: Annotated[str, typer.Option(help="Configuration, below the project's folder.")] = "conf/pipeline.yaml",
) -> None:
    """Decide about a capture. Decisions are only ever added; the newest counts, and the visit's outcome follows it."""
    from clarity import params as parameters
    from clarity.screening import policy
    from clarity.screening import review as reviewing
    from clarity.settings import Settings
    from clarity.storage import database
    from clarity.storage.reviews import Review

    said = {"agree": agree, "grade": grade is not None, "ungradable": ungradable}
    chosen = [name for name, given in said.items() if given]
    if len(chosen) != 1:
        raise typer.BadParameter("one of --agree, --grade N and --ungradable")
    settings = Settings.load()
    name = parameters.load(settings.project / config).screening.policy
    rule = policy.load(settings.project / policy.FOLDER, name)
    engine = database.engine(settings.need("database_url"))
    try:
        with database.session(engine) as session:
            done = reviewing.decide(session, Review(sha256, chosen[0], reviewer, grade, comment), rule)
    finally:
        engine.dispose()
    _say(done)


def _say(done: "Decided") -> None:
    place = "off the worklist" if done.closed else "stays on the worklist: other captures of it wait for a person"
    due = f" Due {done.outcome.due_on}." if done.outcome.due_on else ""
    typer.echo(f"Visit: {done.outcome.result}. {done.outcome.action}{due}")
    typer.echo(f"The visit is {place}." if done.closed else f"The visit {place}.")


def _print_json(page: "Page") -> None:
    import json

    from clarity.screening.report import NOTICE

    entries = [_plain(entry) for entry in page.entries]
    following = str(page.following) if page.following else None
    text = json.dumps({"entries": entries, "following": following, "notice": NOTICE}, indent=2, default=str)
    typer.echo(text)


def _plain(entry: "Entry") -> dict[str, Any]:
    import dataclasses

    values = dataclasses.asdict(entry)
    cursor = values.pop("cursor")
    return {"priority": cursor["priority"], "due_on": cursor["due_on"], **values}


def _print(page: "Page") -> None:
    from clarity.screening.report import NOTICE

    if not page.entries:
        typer.echo("No visit waits for a person.")
        return
    for entry in page.entries:
        grades = ["-" if grade is None else str(grade) for grade in (entry.left_grade, entry.right_grade)]
        due = f"due {entry.cursor.due_on}" if entry.cursor.due_on else "no due date"
        names = _printable(f"patient {entry.patient}, visit {entry.visit}")
        typer.secho(f"{_PRIORITIES[entry.cursor.priority]}, {due}: {names}: {entry.result}", bold=True)
        typer.echo(f"    grade left {grades[0]}, right {grades[1]}. {entry.action}")
        for shown in entry.captures:
            typer.echo(f"    {shown.sha256[:12]}  {shown.eye} {_printable(shown.field)}, {shown.state}")
    if page.following is not None:
        typer.echo(f"More: clarity worklist --after {page.following}")
    typer.echo(NOTICE)


def _printable(name: str) -> str:
    """Names come from outside: none may move a cursor or start a line."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)
