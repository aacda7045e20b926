"""``clarity patients``: the keys that seal who patients are, and erasures that the object store has kept waiting."""

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add this group's commands to the application."""
    group = typer.Typer(no_args_is_help=True, help="Who patients are: keys, rotation, erasures.")
    keys = typer.Typer(no_args_is_help=True, help="The keys of identities and of their search.")
    keys.command("new")(new_keys)
    group.add_typer(keys, name="keys")
    group.command()(rotate)
    group.command()(finish)
    app.add_typer(group, name="patients")


def new_keys() -> None:
    """Print fresh keys, as the environment wants them. They are kept nowhere: lost keys are lost identities."""
    from datetime import UTC, datetime

    from clarity.patients import keyring

    typer.echo(f"CLARITY_IDENTITY_KEYS='{keyring.fresh_identity_key(datetime.now(UTC).date())}'")
    typer.echo(f"CLARITY_SEARCH_KEY='{keyring.fresh_search_key()}'")
    typer.echo(
        "To rotate: the new identity key, a comma, the older ones; restart; `clarity patients rotate`.", err=True
    )


def rotate(
    page: Annotated[int, typer.Option(help="Identities of one transaction.", min=1, max=10_000)] = 500,
) -> None:
    """Seal every identity with the first key of CLARITY_IDENTITY_KEYS. Interrupted, it goes on where it was."""
    from clarity.patients import rotation
    from clarity.patients.keyring import Keys
    from clarity.settings import Settings
    from clarity.storage import database

    settings = Settings.load()
    keys = Keys.parse(settings.need("identity_keys"))
    engine = database.engine(settings.need("database_url"))
    try:
        done = rotation.rotate(
            engine, keys, page=page, on_progress=lambda far: typer.echo(f"{far.done} sealed again, {far.left} to go")
        )
    finally:
        engine.dispose()
    if done.left:
        typer.echo(f"{done.left} are being changed at the moment: run it again before an older key is thrown away.")
        raise typer.Exit(1)
    typer.echo(f"Every identity is sealed with {keys.first!r}; older keys can go.")


def finish() -> None:
    """Delete what of erased patients is left in the object store, where it was away when they were erased."""
    from clarity.patients import erasure
    from clarity.settings import Settings
    from clarity.storage import database, erasures
    from clarity.storage.objects import Objects

    settings = Settings.load()
    engine, objects = database.engine(settings.need("database_url")), Objects(settings)
    done = 0
    try:
        while True:
            with database.session(engine) as session:
                some = erasures.pending(session)
            if not some:
                break
            done += sum(erasure.finish(engine, lambda: objects, uid) for uid in some)
    finally:
        engine.dispose()
    typer.echo(f"{done} objects deleted, none is left of an erased patient.")
