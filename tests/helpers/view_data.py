"""Results for the tests of the dashboards' views, random and unusual ones, and queries of the views."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert, text

from gbench.cndb.record import Named, Record
from gbench.cndb.store import submit
from gbench.cndb.tables import train_results

DOCS = Path(__file__).resolve().parents[2] / "docs" / "dashboards.md"
NOW = datetime.now(timezone.utc).replace(microsecond=0)


@dataclass
class Result:
    """One drawn result, ready to be a record."""

    days_ago: float
    throughput: float
    half: float | None  # of its interval; None: it has none
    model: str = "pix2pix-resnet_9blocks"
    device: str = "V100-PCIE-32GB"
    driver: str = "535.104.05"
    machine: str = "Debian"
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def low(self) -> float:
        return self.throughput - self.half if self.half is not None else 0.95 * self.throughput

    @property
    def high(self) -> float:
        return self.throughput + self.half if self.half is not None else 1.05 * self.throughput

    @property
    def run_time(self) -> datetime:
        return NOW - timedelta(seconds=round(self.days_ago * 86400))

    def record(self, run_id: str) -> Record:
        interval = {"throughput_interval": {"low": self.low, "high": self.high}} if self.half is not None else {}
        values = {
            "model": self.model,
            "batch_size": 32,
            "framework": "PyTorch",
            "dataset": "facades",
            "dev": self.device,
            "dev_num": 8,
            "train_type": "FP32",
            "dist_type": "DDP",
            "perf_data": {"throughput": self.throughput, "throughput_unit": "img/s", "steady_state": True, **interval},
            "hard_info": Named(name=self.machine),
        }
        extra = {"run_id": run_id, "driver": self.driver, "started_utc": self.run_time.isoformat()}
        extra |= self.changes.get("extra", {})
        return Record.model_validate({**values, **self.changes, "extra": extra})


def stored(engine: Engine, results: list[Result]) -> list[int]:
    """Submit the results; returns their ids."""
    return [row.id for row in submit(engine, [r.record(f"run-{place}") for place, r in enumerate(results)], "save")]


def row(engine: Engine, **columns: Any) -> int:
    """Insert a row directly into train_results, as another tool might; returns its id."""
    values = {"framework": "PyTorch", "device": "A100", "dev_num": 1, "create_at": NOW, "visible": False, **columns}
    with engine.begin() as connection:
        return int(connection.execute(insert(train_results).values(values).returning(train_results.c.id)).scalar_one())


def view(engine: Engine, name: str) -> list[dict[str, Any]]:
    """All rows of a view, ordered by id if it has one."""
    return query(engine, f"SELECT * FROM gbench_{name}" + (" ORDER BY id" if name != "fleet" else ""))


def kept(engine: Engine) -> list[dict[str, Any]]:
    """The rows of gbench_summary, with the configuration that a number of SQLite stands for."""
    if engine.dialect.name == "postgresql":
        return query(engine, "SELECT * FROM gbench_summary ORDER BY id")
    numbers = {one["id"]: one["configuration"] for one in query(engine, "SELECT * FROM gbench_configurations")}
    found = query(engine, "SELECT * FROM gbench_summary ORDER BY id")
    return [{**one, "configuration": numbers[one["configuration"]]} for one in found]


def computed(engine: Engine) -> list[dict[str, Any]]:
    """What gbench_summary should keep."""
    called = "()" if engine.dialect.name == "postgresql" else ""
    return query(engine, f"SELECT * FROM gbench_computed{called} ORDER BY id")


def query(engine: Engine, sql: str) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(found) for found in connection.execute(text(sql)).mappings()]


def moment(value: Any) -> datetime:
    """A time from either database."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value.astimezone(timezone.utc) if value.tzinfo else value.replace(tzinfo=timezone.utc)


def drawn(seed: int) -> list[Result]:
    """Results of nine configurations over 60 days: 1 % noise, drops of 10 %, increases, a few without an interval."""
    draw = random.Random(seed)
    results = []
    for model in ("pix2pix-resnet_9blocks", "pix2pix-unet_256", "resnet50"):
        for device in ("V100-PCIE-32GB", "A100-SXM4-40GB", "T4"):
            level = draw.uniform(20, 2000)
            for days_ago in sorted((draw.uniform(0, 60) for _ in range(draw.randint(1, 30))), reverse=True):
                level *= draw.choice([1, 1, 1, 1, 1, 0.9, 1.1])
                throughput = level * draw.gauss(1, 0.01)
                half = None if draw.random() < 0.2 else throughput * draw.uniform(0.001, 0.02)
                driver, machine = draw.choice(["470.1", "535.2", "550.3"]), draw.choice(["Debian", "Ubuntu"])
                results.append(Result(days_ago, throughput, half, model, device, driver, machine))
    draw.shuffle(results)
    return results


def by_configuration(results: list[Result]) -> Iterator[list[tuple[int, Result]]]:
    """The results of each configuration with their places, oldest first."""
    found = defaultdict(list)
    for place, result in enumerate(results):
        found[result.model, result.device].append((place, result))
    for members in found.values():
        yield sorted(members, key=lambda member: -member[1].days_ago)


def documented_sql(language: str) -> list[str]:
    """The code blocks of docs/dashboards.md in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", DOCS.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


# performance, and the throughput and unit that it says
FIGURES: list[tuple[Any, float | None, str | None]] = [
    (None, None, None),
    ([], None, None),
    ([{"throughput": 3}], None, None),
    ("22.9 img/s", None, None),
    (True, None, None),
    (7, None, None),
    ({}, None, None),
    ({"throughput": None}, None, None),
    ({"throughput": True}, None, None),
    ({"throughput": [22.9]}, None, None),
    ({"throughput": {"mean": 22.9}}, None, None),
    ({"throughput": 22.9}, 22.9, None),
    ({"throughput": 71, "throughput_unit": "tokens/s"}, 71.0, "tokens/s"),
    ({"throughput": 1e-5}, 1e-5, None),
    ({"throughput": 10**400}, None, None),
    ({"throughput": -(10**400)}, None, None),
    ({"throughput": "22.9 img/s"}, 22.9, "img/s"),
    ({"throughput": " 22.9img/s "}, 22.9, "img/s"),
    ({"throughput": "22.9 img/s", "throughput_unit": "image/s"}, 22.9, "image/s"),
    ({"throughput": "-.5 %"}, -0.5, "%"),
    ({"throughput": "+3."}, 3.0, None),
    ({"throughput": "N/A"}, None, None),
    ({"throughput": ""}, None, None),
    ({"throughput": "  "}, None, None),
    ({"throughput": "."}, None, None),
    ({"throughput": "img/s"}, None, None),
    ({"throughput": "NaN"}, None, None),
    ({"throughput": "-inf"}, None, None),
    ({"throughput": "1e999"}, None, None),
    ({"throughput": "9" * 400}, None, None),
    ({"throughput": "--5"}, None, None),
    ({"throughput": "1.2.3"}, None, None),
    ({"throughput": "5-8"}, None, None),
    ({"throughput": "22,9"}, None, None),
    ({"throughput": "'; DROP TABLE models; --"}, None, None),
]
INTERVALS: list[Any] = [
    None,
    [],
    [1, 2],
    "wide",
    5,
    {},
    {"low": None},
    {"low": "1", "high": "2"},
    {"low": [1], "high": {"a": 2}},
    {"low": 10**400, "high": -(10**400)},
    {"low": True, "high": False},
    [{"low": 1, "high": 2}],
]
EXTRAS: list[Any] = [
    None,
    [],
    [{"run_id": "a"}],
    "text",
    3,
    True,
    {},
    {"run_id": None},
    {"run_id": 7},
    {"run_id": {"a": [1]}},
    {"driver": [460]},
    {"driver": None},
    {"recipe": {"a": 1}},
    {"started_utc": 5},
    {"started_utc": None},
    {"started_utc": [1]},
    {"started_utc": "now"},
    {"started_utc": "yesterday"},
    {"started_utc": "infinity"},
    {"started_utc": "2026-02-30T10:00:00+00:00"},
    {"started_utc": "2026-01-01T24:00:00Z"},
    {"started_utc": ""},
    {"started_utc": "2026-01-01T10:00:00+99:00"},
    {"started_utc": "2026-01-01"},
    {"started_utc": "10:00"},
    {"started_utc": "0000-01-01T10:00:00Z"},
    {"started_utc": "20260101T100000Z"},
    {"started_utc": "2460000.5"},
]
SETTINGS: list[Any] = [
    None,
    [],
    ["seed"],
    "seed",
    4,
    False,
    {},
    {"seed": 1},
    {"seed": {"a": None}},
    {"a": [1, {"b": 2}]},
]
TAGS: list[Any] = [None, [], ["a", "b"], ["with, comma"]]
