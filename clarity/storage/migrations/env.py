"""Alembic's entry: runs on the connection that ``database.alembic_config`` puts into the configuration.

For ``alembic -c clarity/storage/alembic.ini revision --autogenerate`` it connects to CLARITY_DATABASE_URL itself.
"""

import os

from alembic import context
from sqlalchemy import Connection

from clarity.storage import database
from clarity.storage.tables import Base


def _run(link: Connection) -> None:
    context.configure(connection=link, target_metadata=Base.metadata, compare_server_default=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    with database.connection(database.engine(os.environ["CLARITY_DATABASE_URL"])) as opened:
        _run(opened)
