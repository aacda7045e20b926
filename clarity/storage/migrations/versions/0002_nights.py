"""Nights that lose nothing: leases, reviews, policies and the worklist, cameras and recapture, kinds of quarantine."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_RESULTS = {
    "0001": "result IN ('refer', 'no referral', 'incomplete')",
    "0002": "result IN ('refer', 'review', 'incomplete', 'no referral')",
}
_RUNS_OF_SCANS = ("registered_by", "settled_by")
_OPEN = "reviewed_at IS NULL AND NOT superseded AND priority < 4"


def upgrade() -> None:
    _add("scans", _text("visit_type", "screening"), sa.Column("camera", sa.Text()), _flag("recapture"))
    for column in _RUNS_OF_SCANS:
        _add("scans", sa.Column(column, sa.Text()))
        op.create_foreign_key(f"fk_scans_{column}_screening_runs", "scans", "screening_runs", [column], ["id"])
        op.create_index(f"ix_scans_{column}", "scans", [column])
    _add("predictions", _list("review_reasons"), sa.Column("energy", sa.Double()), _text("precision", "fp32"))
    _add(
        "outcomes",
        _text("policy", ""),
        _text("action", ""),
        _list("not_derivable"),
        sa.Column("due_on", sa.Date()),
        sa.Column("priority", sa.SmallInteger(), server_default=sa.text("4"), nullable=False),
        _flag("superseded"),
        sa.Column("reviewed_at", sa.DateTime(timezone=True)),
    )
    _check_results("0002")
    op.create_check_constraint(op.f("ck_outcomes_priority"), "outcomes", "priority BETWEEN 0 AND 4")
    op.create_index("ix_outcomes_worklist", "outcomes", ["priority", "due_on", "id"], postgresql_where=sa.text(_OPEN))
    _add("screening_runs", _text("kind", "night"))
    op.create_check_constraint(op.f("ck_screening_runs_kind"), "screening_runs", "kind IN ('night', 'rescore')")
    _add("quarantine", _text("kind", "photograph"), sa.Column("resolution", sa.Text()))
    kinds = "kind IN ('attribution', 'conflict', 'photograph', 'object')"
    op.create_check_constraint(op.f("ck_quarantine_kind"), "quarantine", kinds)
    op.create_index("ix_quarantine_run_id", "quarantine", ["run_id"])
    _create_leases()
    _create_reviews()


def downgrade() -> None:
    op.execute("DROP TABLE reviews")
    op.execute("DROP FUNCTION reviews_refuse()")
    op.drop_table("leases")
    op.drop_index("ix_quarantine_run_id", "quarantine")
    _drop("quarantine", "resolution", "kind")
    _drop("screening_runs", "kind")
    op.drop_index("ix_outcomes_worklist", "outcomes")
    op.execute("DELETE FROM outcomes WHERE result = 'review'")  # the next night writes it again, in the older words
    _check_results("0001")
    _drop("outcomes", "reviewed_at", "superseded", "priority", "due_on", "not_derivable", "action", "policy")
    _drop("predictions", "precision", "energy", "review_reasons")
    _drop("scans", *_RUNS_OF_SCANS, "recapture", "camera", "visit_type")


def _create_leases() -> None:
    op.create_table(
        "leases",
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(["sha256"], ["scans.sha256"], name="fk_leases_sha256_scans"),
        sa.ForeignKeyConstraint(["run_id"], ["screening_runs.id"], name="fk_leases_run_id_screening_runs"),
        sa.PrimaryKeyConstraint("sha256", "model", "model_version", "fingerprint", name="pk_leases"),
    )
    op.create_index("ix_leases_run_id", "leases", ["run_id"])


def _create_reviews() -> None:
    op.create_table(
        "reviews",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("grade", sa.SmallInteger()),
        sa.Column("comment", sa.Text()),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("decision IN ('agree', 'grade', 'ungradable')", name=op.f("ck_reviews_decision")),
        sa.CheckConstraint("(decision = 'grade') = (grade IS NOT NULL)", name=op.f("ck_reviews_grade_given")),
        sa.CheckConstraint("grade BETWEEN 0 AND 4", name=op.f("ck_reviews_grade")),
        sa.ForeignKeyConstraint(["sha256"], ["scans.sha256"], name="fk_reviews_sha256_scans"),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
    )
    op.create_index("ix_reviews_sha256", "reviews", ["sha256"])
    op.execute(
        """
        CREATE FUNCTION reviews_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'reviews: % refused, reviews are append-only', TG_OP;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER reviews_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON reviews
        FOR EACH STATEMENT EXECUTE FUNCTION reviews_refuse()
        """
    )


def _check_results(revision: str) -> None:
    op.drop_constraint(op.f("ck_outcomes_result"), "outcomes")
    op.create_check_constraint(op.f("ck_outcomes_result"), "outcomes", _RESULTS[revision])


def _add(table: str, *columns: sa.Column[Any]) -> None:
    for column in columns:
        op.add_column(table, column)


def _drop(table: str, *names: str) -> None:
    for name in names:
        op.drop_column(table, name)


def _text(name: str, default: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), server_default=default, nullable=False)


def _flag(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean(), server_default=sa.text("false"), nullable=False)


def _list(name: str) -> sa.Column[Any]:
    return sa.Column(name, JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False)
