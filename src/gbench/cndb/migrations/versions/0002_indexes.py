"""Indexes for submission (by run and by md5) and for the history (by time, filtered within the index itself)."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

RUN_ID = {"postgresql": "(extra ->> 'run_id')", "sqlite": "json_extract(extra, '$.run_id')"}


def upgrade() -> None:
    run_id = RUN_ID[op.get_bind().dialect.name]
    op.execute(f"CREATE INDEX IF NOT EXISTS gbench_run_id ON train_results ({run_id})")
    op.execute("CREATE INDEX IF NOT EXISTS gbench_md5 ON train_results (md5)")
    op.execute(
        "CREATE INDEX IF NOT EXISTS gbench_history ON train_results (create_at, id, model_id, device, train_exec_mode)"
    )
