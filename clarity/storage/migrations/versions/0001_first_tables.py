"""The first tables: patients, scans, predictions, outcomes, screening runs, quarantine, inbox, promotion ledger."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = (
    "predictions",
    "inbox_objects",
    "scans",
    "quarantine",
    "outcomes",
    "screening_runs",
    "promotions",
    "patients",
)


def upgrade() -> None:
    op.create_table(
        "patients",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_patients"),
        sa.UniqueConstraint("external_id", name="uq_patients_external_id"),
    )
    op.create_table(
        "promotions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("previous_version", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reasons", JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("figures", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("data_version", sa.Text(), nullable=True),
        sa.Column("git_commit", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "action IN ('registered', 'promoted', 'refused', 'rolled back')", name=op.f("ck_promotions_action")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_promotions"),
    )
    op.create_index("ix_promotions_model_at", "promotions", ["model", "at"], unique=False)
    op.create_table(
        "screening_runs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="running", nullable=False),
        sa.Column("counts", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("status IN ('running', 'completed', 'failed')", name=op.f("ck_screening_runs_status")),
        sa.PrimaryKeyConstraint("id", name="pk_screening_runs"),
    )
    op.create_index("ix_screening_runs_started_at", "screening_runs", ["started_at"], unique=False)
    op.create_table(
        "outcomes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("patient_id", sa.BigInteger(), nullable=False),
        sa.Column("visit", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("reasons", JSONB(), nullable=False),
        sa.Column("worst_grade", sa.SmallInteger(), nullable=True),
        sa.Column("left_grade", sa.SmallInteger(), nullable=True),
        sa.Column("right_grade", sa.SmallInteger(), nullable=True),
        sa.Column("macular_oedema", sa.Text(), server_default="not assessed", nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("result IN ('refer', 'no referral', 'incomplete')", name=op.f("ck_outcomes_result")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name="fk_outcomes_patient_id_patients"),
        sa.ForeignKeyConstraint(["run_id"], ["screening_runs.id"], name="fk_outcomes_run_id_screening_runs"),
        sa.PrimaryKeyConstraint("id", name="pk_outcomes"),
        sa.UniqueConstraint(
            "patient_id", "visit", "model", "model_version", name="uq_outcomes_patient_id_visit_model_model_version"
        ),
    )
    op.create_index("ix_outcomes_run_id", "outcomes", ["run_id"], unique=False)
    op.create_table(
        "quarantine",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), server_default="", nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["screening_runs.id"], name="fk_quarantine_run_id_screening_runs"),
        sa.PrimaryKeyConstraint("id", name="pk_quarantine"),
        sa.UniqueConstraint("key", "etag", name="uq_quarantine_key_etag"),
    )
    op.create_index(
        "ix_quarantine_open", "quarantine", ["at"], unique=False, postgresql_where=sa.text("resolved_at IS NULL")
    )
    op.create_table(
        "scans",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("patient_id", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("eye", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), server_default="unknown", nullable=False),
        sa.Column("visit", sa.Text(), nullable=False),
        sa.Column("captured_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("state", sa.Text(), server_default="registered", nullable=False),
        sa.Column("reasons", JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("quality", sa.Double(), nullable=True),
        sa.Column("registered_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("state_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("eye IN ('left', 'right', 'unknown')", name=op.f("ck_scans_eye")),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_scans_sha256")),
        sa.CheckConstraint(
            "state IN ('registered', 'scored', 'ungradable', 'quarantined')", name=op.f("ck_scans_state")
        ),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name="fk_scans_patient_id_patients"),
        sa.PrimaryKeyConstraint("id", name="pk_scans"),
        sa.UniqueConstraint("sha256", name="uq_scans_sha256"),
    )
    op.create_index("ix_scans_patient_id_visit", "scans", ["patient_id", "visit"], unique=False)
    op.create_index(
        "ix_scans_registered",
        "scans",
        ["patient_id", "visit", "sha256"],
        unique=False,
        postgresql_where=sa.text("state = 'registered'"),
    )
    op.create_table(
        "inbox_objects",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["sha256"], ["scans.sha256"], name="fk_inbox_objects_sha256_scans"),
        sa.PrimaryKeyConstraint("key", "etag", name="pk_inbox_objects"),
    )
    op.create_table(
        "predictions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("grade", sa.SmallInteger(), nullable=False),
        sa.Column("probabilities", sa.ARRAY(sa.Double()), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("referable", sa.Boolean(), nullable=False),
        sa.Column("referable_probability", sa.Double(), nullable=False),
        sa.Column("vision_threatening", sa.Boolean(), nullable=False),
        sa.Column("vision_threatening_probability", sa.Double(), nullable=False),
        sa.Column("heatmap_key", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("array_length(probabilities, 1) = 5", name=op.f("ck_predictions_probabilities")),
        sa.CheckConstraint("grade BETWEEN 0 AND 4", name=op.f("ck_predictions_grade")),
        sa.ForeignKeyConstraint(["run_id"], ["screening_runs.id"], name="fk_predictions_run_id_screening_runs"),
        sa.ForeignKeyConstraint(["sha256"], ["scans.sha256"], name="fk_predictions_sha256_scans"),
        sa.PrimaryKeyConstraint("id", name="pk_predictions"),
        sa.UniqueConstraint(
            "sha256",
            "model",
            "model_version",
            "fingerprint",
            name="uq_predictions_sha256_model_model_version_fingerprint",
        ),
    )
    op.create_index("ix_predictions_run_id", "predictions", ["run_id"], unique=False)

    _make_ledger_append_only()


def downgrade() -> None:
    for table in _TABLES:
        op.drop_table(table)
    op.execute("DROP FUNCTION promotions_refuse()")


def _make_ledger_append_only() -> None:
    op.execute(
        """
        CREATE FUNCTION promotions_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'promotions: % refused, the ledger is append-only', TG_OP;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER promotions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON promotions
        FOR EACH STATEMENT EXECUTE FUNCTION promotions_refuse()
        """
    )
