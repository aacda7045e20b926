"""The online service: ids outside, sealed identities, API keys, the access log, idempotency."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    uid = sa.Column("uid", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False)
    for column in (uid, _now("updated_at"), sa.Column("erased_at", sa.DateTime(timezone=True))):
        op.add_column("patients", column)
    op.create_unique_constraint("uq_patients_uid", "patients", ["uid"])
    op.create_table(
        "identities",
        sa.Column("patient_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("tokens", JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        _now("updated_at"),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name="fk_identities_patient_id_patients"),
        sa.PrimaryKeyConstraint("patient_id", name="pk_identities"),
    )
    op.create_index("ix_identities_tokens", "identities", ["tokens"], postgresql_using="gin")
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("scopes", JSONB(), nullable=False),
        sa.Column("rate_per_minute", sa.Integer(), nullable=False),
        _now("created_at"),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("hash ~ '^[0-9a-f]{64}$'", name=op.f("ck_api_keys_hash")),
        sa.CheckConstraint("rate_per_minute > 0", name=op.f("ck_api_keys_rate")),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
    )
    op.create_table(
        "idempotency",
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        _now("at"),
        sa.PrimaryKeyConstraint("key_id", "idempotency_key", name="pk_idempotency"),
    )
    op.create_index("ix_idempotency_at", "idempotency", ["at"])
    _create_access_log()


def downgrade() -> None:
    for table in ("access_log", "idempotency", "api_keys", "identities"):
        op.drop_table(table)
    op.execute("DROP FUNCTION access_log_refuse()")
    for column in ("erased_at", "updated_at", "uid"):
        op.drop_column("patients", column)


def _create_access_log() -> None:
    op.create_table(
        "access_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        _now("at"),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_access_log"),
    )
    op.create_index("ix_access_log_record_at", "access_log", ["record", "at"])
    op.create_index("ix_access_log_at", "access_log", ["at"])
    op.execute(
        """
        CREATE FUNCTION access_log_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'access_log: % refused, the log is append-only', TG_OP;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER access_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON access_log
        FOR EACH STATEMENT EXECUTE FUNCTION access_log_refuse()
        """
    )


def _now(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
