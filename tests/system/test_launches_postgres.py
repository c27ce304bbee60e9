"""Launches of the simulated world at the same time, into a PostgreSQL whose database none of them finds."""

from __future__ import annotations

import pytest

from load import RUN_ID, launch_at_once
from postgres import Postgres
from world import NoWorld, world

pytestmark = pytest.mark.system
COUNT = 8


def test_launches_at_once_store_each_run_once(postgres: Postgres) -> None:
    try:
        with world() as sim:
            load = launch_at_once(sim, COUNT, "db.yaml", f"uri: {postgres.uri('launches')}\n")
            rows = postgres.query("launches", f"SELECT {RUN_ID} FROM train_results ORDER BY 1")
            load.require_each_once([str(run) for (run,) in rows])
    except NoWorld as why:
        pytest.skip(str(why))
    finally:
        postgres.drop("launches")
