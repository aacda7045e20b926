"""Alembic migrations; ``clarity db upgrade`` and ``database.upgrade`` run them."""
