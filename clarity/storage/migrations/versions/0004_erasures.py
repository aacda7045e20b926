"""Erasures: what was erased, objects that are still to go, and the one way in which reviews may go."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column("patient_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("erased", JSONB(), nullable=False),
        sa.Column("kept", JSONB(), nullable=False),
        sa.Column("objects", JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("policy IN ('pseudonymise', 'remove')", name=op.f("ck_erasures_policy")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name="fk_erasures_patient_id_patients"),
        sa.PrimaryKeyConstraint("patient_id", name="pk_erasures"),
    )
    pending = sa.text("objects <> '[]'::jsonb")
    op.create_index("ix_erasures_pending", "erasures", ["patient_id"], postgresql_where=pending)
    _never("erasures", "DELETE OR TRUNCATE")
    # Reviews: UPDATE and TRUNCATE as ever; DELETE looks at each row, and at whose it is.
    op.execute("DROP TRIGGER reviews_append_only ON reviews")
    _on_reviews("UPDATE OR TRUNCATE")
    op.execute(
        """
        CREATE FUNCTION reviews_keep() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (
                SELECT 1 FROM scans JOIN erasures USING (patient_id)
                WHERE scans.sha256 = OLD.sha256 AND erasures.policy = 'remove'
            ) THEN
                RETURN OLD;
            END IF;
            RAISE EXCEPTION 'reviews: DELETE refused, reviews are append-only unless their patient is erased';
        END $$
        """
    )
    op.execute("CREATE TRIGGER reviews_keep BEFORE DELETE ON reviews FOR EACH ROW EXECUTE FUNCTION reviews_keep()")


def downgrade() -> None:
    op.execute("DROP TRIGGER reviews_keep ON reviews")
    op.execute("DROP FUNCTION reviews_keep()")
    op.execute("DROP TRIGGER reviews_append_only ON reviews")
    _on_reviews("UPDATE OR DELETE OR TRUNCATE")
    op.drop_table("erasures")
    op.execute("DROP FUNCTION erasures_refuse()")


def _on_reviews(operations: str) -> None:
    op.execute(
        f"CREATE TRIGGER reviews_append_only BEFORE {operations} ON reviews "
        "FOR EACH STATEMENT EXECUTE FUNCTION reviews_refuse()"
    )


def _never(table: str, operations: str) -> None:
    op.execute(
        f"""
        CREATE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '{table}: % refused, what was erased stays written', TG_OP;
        END $$
        """
    )
    op.execute(
        f"CREATE TRIGGER {table}_stay BEFORE {operations} ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_refuse()"
    )
