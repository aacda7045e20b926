"""The base of every table: constraint names, and which PostgreSQL type a Python type becomes."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import ARRAY, Date, DateTime, Double, MetaData, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

SHA256 = "sha256 ~ '^[0-9a-f]{64}$'"


def one_of(column: str, values: tuple[str, ...]) -> str:
    """The condition that a text column holds one of these words."""
    listed = ", ".join(f"'{value}'" for value in values)
    return f"{column} IN ({listed})"


class Base(DeclarativeBase):
    """Names every constraint, so that migrations can speak of them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  SQLAlchemy reads it from the class
        datetime: DateTime(timezone=True),
        date: Date,
        dict[str, Any]: JSONB,
        list[str]: JSONB,
        list[float]: ARRAY(Double),
        float: Double,
        str: Text,
    }
