"""Where results live: PostgreSQL (tables, database, lock, results) and the object store (objects, keys)."""
