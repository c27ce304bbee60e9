"""A database as the original's tool creates and fills it: the contract's tables (CNDB section 3) with rows."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

LEGACY = Path(__file__).resolve().parents[3] / "shared" / "cndb-legacy"  # what the original's tool itself wrote

CONTRACT_DDL = """
CREATE TABLE models (
    id serial PRIMARY KEY, name varchar UNIQUE, metrics varchar[], categories varchar[]
);
CREATE TABLE software_infos (id serial PRIMARY KEY, name varchar UNIQUE, detail jsonb);
CREATE TABLE hardware_infos (id serial PRIMARY KEY, name varchar UNIQUE, detail jsonb);
CREATE TABLE train_results (
    id serial PRIMARY KEY, md5 varchar, framework varchar, dataset varchar, batch_size integer, device varchar,
    dev_num integer, train_exec_mode varchar, eval_exec_mode varchar, dist_mode varchar, cmd text, code_link varchar,
    metrics jsonb, performance jsonb, hyper_params jsonb, tags varchar[], extra jsonb, visible boolean,
    create_at timestamp with time zone, update_at timestamp with time zone,
    model_id integer REFERENCES models (id),
    hard_info_id integer REFERENCES hardware_infos (id),
    soft_info_id integer REFERENCES software_infos (id)
);
"""
# Invented for the tests, in the shapes that the original writes: figures as text with their unit, JSON null.
ROWS = """
INSERT INTO models (name, metrics) VALUES ('drawn-net', '{accuracy}');
INSERT INTO software_infos (name, detail) VALUES ('drawn:0', '{"torch": "1.0"}');
INSERT INTO hardware_infos (name, detail) VALUES ('unknown', '""');
"""
# What the original's tool sends for one record: no lock, no run id, no column of ours.
INSERT = """
INSERT INTO train_results (md5, framework, dataset, batch_size, device, dev_num, train_exec_mode, eval_exec_mode,
    dist_mode, metrics, performance, hyper_params, extra, visible, create_at, update_at,
    model_id, hard_info_id, soft_info_id)
VALUES ('460.73.01', 'PyTorch', 'drawn', 16, 'Drawn-40GB', 4, 'FP32', '-', 'DP', '{}', '{"throughput": "12.5 img/s"}',
    'null', '{"NV_Web": "N/A", "Github": "N/A"}', false, now(), now(), 1, 1, 1)
"""


# The record file of which that row would have been made.
FILE = """
{model: drawn-net, batch_size: 16, framework: PyTorch, dataset: drawn, dev: Drawn-40GB, dev_num: 4, train_type: FP32,
 eval_type: '-', dist_type: DP, perf_data: {throughput: 12.5 img/s}, metric_data: {}, hyper_params: null,
 code_link: null, soft_info: {name: 'drawn:0', torch: '1.0'}, hard_info: null, md5_val: 460.73.01, tags: null,
 extra: {NV_Web: N/A, Github: N/A}}
"""

# The project's own database always; the one that the original's tool made where it is at hand.
DUMPS = {"drawn": CONTRACT_DDL + ROWS + INSERT}
FILES = [("drawn", FILE)]
if LEGACY.is_dir():
    DUMPS["legacy"] = (LEGACY / "gpu_golden_bench.sql").read_text()
    # pix2pix_v100_1's row is no more: the original overwrote it by pix2pix_v100_8, of the same md5
    names = ("pix2pix_convergency", "resnet50", "pix2pix_v100_8")
    FILES += [("legacy", (LEGACY / f"{name}.yaml").read_text()) for name in names]
else:
    warnings.warn(f"no {LEGACY}: tested on a drawn database only, not on the original's own", stacklevel=1)


@pytest.fixture
def contract_ddl() -> str:
    """SQL that creates a database of the original's tool, with one row."""
    return DUMPS["drawn"]
