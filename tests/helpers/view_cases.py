"""Tests of the dashboards' views, which the tests of SQLite and of PostgreSQL inherit.

Expected rows are computed in Python from the drawn results, independently of the views' SQL.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from itertools import zip_longest
from statistics import fmean
from typing import Any

import pytest
from sqlalchemy import Engine, insert, null, text

from gbench.cndb.record import Named
from gbench.cndb.schema import drop_all, upgrade
from gbench.cndb.store import submit
from gbench.cndb.tables import METADATA, hardware_infos, models, software_infos
from gbench.cndb.views import VIEWS
from view_data import (
    DOCS,
    EXTRAS,
    FIGURES,
    INTERVALS,
    NOW,
    SETTINGS,
    TAGS,
    Result,
    by_configuration,
    computed,
    documented_sql,
    drawn,
    kept,
    moment,
    query,
    row,
    stored,
    view,
)


class ViewCases:
    """The tests. The module of a subclass defines `engine`: an up-to-date database without records."""

    def test_a_result_is_one_flat_row(self, engine: Engine) -> None:
        result = Result(2, 100.0, 1.0, changes={"tags": ["nightly", "a100"], "code_link": "https://example.com/1"})
        (number,) = stored(engine, [result])
        (found,) = view(engine, "results")
        assert abs(found.pop("age_days") - 2) < 0.1
        assert abs(moment(found.pop("stored_at")) - NOW) < timedelta(hours=2)  # NOW is when the tests began
        assert moment(found.pop("run_time")) == result.run_time
        assert re.fullmatch("[0-9a-f]{32}", found.pop("md5"))
        assert found.pop("configuration")
        assert found == {
            "id": number,
            "run_id": "run-0",
            "model": "pix2pix-resnet_9blocks",
            "framework": "PyTorch",
            "dataset": "facades",
            "device": "V100-PCIE-32GB",
            "dev_num": 8,
            "batch_size": 32,
            "precision": "FP32",
            "eval_mode": "-",
            "dist_mode": "DDP",
            "recipe": None,
            "throughput": 100.0,
            "low": 99.0,
            "high": 101.0,
            "throughput_unit": "img/s",
            "steady_state": True,
            "driver": "535.104.05",
            "software": "unknown",
            "hardware": "Debian",
            "code_link": "https://example.com/1",
            "tags": "nightly,a100",
            "visible": False,
        }

    def test_what_the_original_stored_is_read_too(self, engine: Engine) -> None:
        with engine.begin() as connection:
            connection.execute(insert(models).values(id=1, name="pix2pix-resnet_9blocks"))
            connection.execute(insert(software_infos).values(id=1, name="golden:21.06"))
            connection.execute(insert(hardware_infos).values(id=1, name="Ubuntu 18.04.5 LTS"))
        row(
            engine,
            md5="460.73.01",
            performance={"throughput": "71.4 img/s"},
            extra={"Github": "N/A", "NV_Web": "N/A"},
            model_id=1,
            soft_info_id=1,
            hard_info_id=1,
        )
        (found,) = view(engine, "results")
        assert (found["throughput"], found["low"], found["high"]) == (71.4, None, None)
        assert (found["throughput_unit"], found["driver"], found["run_id"]) == ("img/s", "460.73.01", None)
        assert (found["software"], found["hardware"]) == ("golden:21.06", "Ubuntu 18.04.5 LTS")
        assert moment(found["run_time"]) == NOW

    @pytest.mark.parametrize(
        ("md5", "extra", "driver"),
        [
            ("7ba8a013796776433e10cd50db7df262", {}, None),
            ("460.73.01", {"driver": "535.1"}, "535.1"),
            ("460.73.01", {"driver": "N/A"}, "460.73.01"),
            ("460", {}, None),
            ("460.", {}, None),
            ("4..1", {}, None),
            (None, {"driver": "N/A"}, None),
        ],
    )
    def test_a_driver_is_what_the_record_says_or_the_originals_md5(
        self, engine: Engine, md5: str | None, extra: dict[str, str], driver: str | None
    ) -> None:
        row(engine, md5=md5, extra=extra)
        assert view(engine, "results")[0]["driver"] == driver

    def test_any_performance_gives_its_throughput_or_none(self, engine: Engine) -> None:
        for performance, _, _ in FIGURES:
            row(engine, performance=performance)
        found = [(one["throughput"], one["throughput_unit"]) for one in view(engine, "results")]
        for (performance, throughput, unit), (got, got_unit) in zip(FIGURES, found, strict=True):
            assert got == (throughput if throughput is None else pytest.approx(throughput)), performance
            assert throughput is None or got_unit == unit, performance

    def test_a_start_is_a_time_or_the_rows_own_is_taken(self, engine: Engine) -> None:
        draw = random.Random(4)
        texts = []
        for _ in range(400):  # about half of these are days, hours and offsets that there are
            day = f"{draw.randint(2000, 2099)}-{draw.randint(0, 13):02}-{draw.randint(0, 31):02}"
            clock = f"{draw.randint(0, 25):02}:{draw.randint(0, 61):02}:{draw.randint(0, 61):02}"
            zone = draw.choice(["", f"{draw.choice('+-')}{draw.randint(0, 16):02}:{draw.choice(['00', '30', '59'])}"])
            texts.append(day + draw.choice("T ") + clock + draw.choice(["", ".125", ".125750"]) + zone)
        for start in texts:
            row(engine, extra={"started_utc": start})
        valid = 0
        for start, found in zip(texts, view(engine, "results"), strict=True):
            try:
                expected = moment(start)
                if re.search(r"[+-]1[56]:\d\d$", start):
                    raise ValueError("no zone is that far off")
                valid += 1
            except ValueError:
                expected = NOW
            assert abs(moment(found["run_time"]) - expected) < timedelta(milliseconds=2), start
        assert 50 < valid < 350

    def test_no_value_makes_a_view_fail(self, engine: Engine) -> None:
        good = stored(engine, [Result(3, 100.0, 1.0), Result(2, 50.0, 1.0)])
        performances = [performance for performance, _, _ in FIGURES]
        performances += [{"throughput": 5, "throughput_interval": interval} for interval in INTERVALS]
        performances += [{"throughput": 5, "steady_state": odd, "throughput_unit": odd} for odd in (None, "yes", 1, [])]
        together = list(zip_longest(performances, EXTRAS, SETTINGS, TAGS))
        for performance, extra, settings, tags in together:
            row(engine, performance=performance, extra=extra, hyper_params=settings, tags=tags)
            row(engine, performance={"throughput": 5}, extra=extra, hyper_params=settings, tags=tags)
        row(engine, framework=None, device=None, dev_num=None, create_at=None)
        row(engine, performance=null(), extra=null(), hyper_params=null(), metrics=null())  # SQL NULL, not JSON null
        answers = {name: view(engine, name) for name in VIEWS}
        assert len(answers["results"]) == 2 + 2 * len(together) + 2
        assert good[1] in [one["id"] for one in answers["regressions"]]
        assert sum(one["results"] for one in answers["fleet"]) == len(answers["results"])
        assert all(one["low"] is None and one["high"] is None for one in answers["results"] if one["id"] not in good)

    def test_the_summary_is_what_is_computed(self, engine: Engine) -> None:
        """After inserts, updates and deletes, by gbench and by SQL."""
        results = drawn(4)
        ids = stored(engine, results)
        submit(
            engine,
            [replace(one, throughput=7.0).record(f"run-{place}") for place, one in enumerate(results[:9])],
            "update",
        )
        for (performance, _, _), extra, settings in zip_longest(FIGURES, EXTRAS, SETTINGS, fillvalue=FIGURES[0]):
            ids.append(row(engine, performance=performance, extra=extra, hyper_params=settings))
        for change in (
            "UPDATE train_results SET device = 'Moved', extra = NULL WHERE id % 3 = 0",
            "UPDATE train_results SET id = id + 1000 WHERE id % 5 = 0",
            "DELETE FROM train_results WHERE id % 7 = 0",
            "UPDATE models SET name = 'renamed' WHERE name = 'resnet50'",
            "UPDATE software_infos SET name = 'image:2'",
            "UPDATE hardware_infos SET name = 'Renamed' WHERE name = 'Ubuntu'",
        ):
            before = kept(engine)
            with engine.begin() as connection:
                connection.execute(text(change))
            assert kept(engine) == computed(engine) != before, change
        found = {one["id"]: one for one in view(engine, "results")}
        assert len(found) == len(kept(engine)) < len(ids)
        for one in kept(engine):
            same = {*one} - {"configuration", "machine", "host_name", "first_rule"}
            assert {name: found[one["id"]][name] for name in same} == {name: one[name] for name in same}

    def test_new_tables_are_computed_until_the_next_submission(self, engine: Engine) -> None:
        """As after `rebuild: 1` of the original's tool, which drops the triggers with the tables."""
        stored(engine, [Result(1, 100.0, 1.0), Result(2, 90.0, 1.0)])
        with engine.begin() as connection:
            for table in ("train_results", "models", "software_infos", "hardware_infos"):
                connection.execute(text(f"DROP TABLE {table}"))
        METADATA.create_all(engine)
        row(engine, performance={"throughput": "22.9 img/s"})
        for _ in range(2):
            assert [(one["id"], one["throughput"]) for one in view(engine, "results")] == [(1, 22.9)]
            assert [len(view(engine, name)) for name in VIEWS] == [1, 1, 1, 0, 1]
            upgrade(engine)
        assert kept(engine) == computed(engine) and len(kept(engine)) == 1

    def test_the_latest_of_each_configuration(self, engine: Engine) -> None:
        results = drawn(1)
        ids = stored(engine, results)
        expected = {ids[members[-1][0]]: len(members) for members in by_configuration(results)}
        assert {found["id"]: found["results"] for found in view(engine, "latest")} == expected
        assert set(view(engine, "latest")[0]) == {*view(engine, "results")[0], "results"}

    def test_what_a_configuration_is(self, engine: Engine) -> None:
        same: list[dict[str, Any]] = [
            {"code_link": "https://example.com/2"},
            {"soft_info": Named(name="image:2")},
            {"hard_info": Named(name="Ubuntu")},
            {"tags": ["x"]},
            {"hyper_params": {"lr": 0.1, "seed": 1}},
            {"hyper_params": {"lr": 0.1, "seed": 2}},
        ]
        for change in same[:4]:
            change["hyper_params"] = {"lr": 0.1}
        other: list[dict[str, Any]] = [
            {"model": "resnet50"},
            {"framework": "tf"},
            {"dataset": "maps"},
            {"dev": "T4"},
            {"dev_num": 4},
            {"batch_size": 64},
            {"train_type": "AMP"},
            {"eval_type": "O1"},
            {"dist_type": "DP"},
            {"perf_data": {"throughput": 5.0, "throughput_unit": "tokens/s"}},
            {"extra": {"recipe": "convergence"}},
            {"hyper_params": {"lr": 0.2}},
            {"hyper_params": {"lr": 0.1, "ngf": 8}},
            {"hyper_params": None},
        ]
        for change in other:
            change.setdefault("hyper_params", {"lr": 0.1})
        stored(engine, [Result(1, 5.0, None, changes=change) for change in same + other])
        keys = [found["configuration"] for found in view(engine, "results")]
        assert len(set(keys[: len(same)])) == 1
        assert len(set(keys)) == 1 + len(other)

    def test_the_trend_beside_the_run_before(self, engine: Engine) -> None:
        results = drawn(2)
        ids = stored(engine, results)
        row(engine, performance={"throughput": "N/A"})
        found = {one["id"]: one for one in view(engine, "trend")}
        assert sorted(found) == sorted(ids)
        for members in by_configuration(results):
            for before, (place, result) in zip([None, *members], members, strict=False):
                one = found[ids[place]]
                assert (one["throughput"], one["low"], one["high"]) == (
                    pytest.approx(result.throughput),
                    result.half and pytest.approx(result.low),
                    result.half and pytest.approx(result.high),
                )
                assert one["previous_id"] == (before and ids[before[0]])
                change = before and pytest.approx(result.throughput / before[1].throughput - 1)
                assert one["change_share"] == change

    @pytest.mark.parametrize("seed", range(3))
    def test_regressions_by_the_rule(self, engine: Engine, seed: int) -> None:
        results = drawn(seed)
        ids = stored(engine, results)
        expected = {}
        for members in by_configuration(results):
            for index, (place, result) in enumerate(members):
                before = [member for _, member in members[max(0, index - 10) : index]]
                if not before or result.days_ago > 30:
                    continue
                mean, least = fmean(member.throughput for member in before), 0.05 if len(before) < 3 else 0.02
                loss = 1 - result.throughput / mean
                if result.high < min(member.low for member in before) and loss >= least:
                    expected[ids[place]] = (len(before), pytest.approx(mean), pytest.approx(loss))
        found = view(engine, "regressions")
        assert len(expected) > 2
        assert {
            one["id"]: (one["previous_results"], one["previous_mean"], one["loss_share"]) for one in found
        } == expected

    @pytest.mark.parametrize(
        ("results", "regressed"),
        [
            ([], None),  # a first result has nothing to lose to
            ([Result(2, 100, 1)], False),  # 4 % below one result is not enough
            ([Result(2, 101.5, 1)], True),  # 5.4 % is
            ([Result(3, 100, 1), Result(2, 100, 1)], False),  # nor is 4 % below two
            ([Result(4, 100, 1), Result(3, 100, 1), Result(2, 100, 1)], True),  # 4 % below three is
            ([Result(4, 100, 1), Result(3, 96.5, 1), Result(2, 100, 1)], False),  # not outside what they had
            ([Result(4, 97.5, 0.1), Result(3, 97.5, 0.1), Result(2, 97.5, 0.1)], False),  # outside, but by 1.5 % only
            ([Result(4, 98.2, 0.1), Result(3, 98.2, 0.1), Result(2, 98.2, 0.1)], True),  # by 2.2 %
            ([Result(4, 100, None), Result(3, 100, None), Result(2, 100, None)], False),  # 96.5 is within 5 %
            ([Result(4, 102, None), Result(3, 102, None), Result(2, 102, None)], True),
            ([Result(40, 50, 1), *(Result(39 - age, 100, 1) for age in range(9))], False),
            ([Result(40, 50, 1), *(Result(39 - age, 100, 1) for age in range(10))], True),  # 50 is the eleventh before
            ([Result(4, 100, 1, model="resnet50")], None),  # another configuration
        ],
    )
    def test_a_result_of_96_is_a_regression(
        self, engine: Engine, results: list[Result], regressed: bool | None
    ) -> None:
        ids = stored(engine, [*results, Result(1, 96, 0.5)])
        assert [one["id"] for one in view(engine, "regressions")] == ([ids[-1]] if regressed else [])

    def test_a_result_without_an_interval_must_lose_more(self, engine: Engine) -> None:
        three = [Result(4, 100, 0.5), Result(3, 100, 0.5), Result(2, 100, 0.5)]
        ids = stored(engine, [*three, Result(1.5, 95, None), Result(1, 85, None)])
        assert [one["id"] for one in view(engine, "regressions")] == [ids[-1]]

    def test_an_old_regression_is_history(self, engine: Engine) -> None:
        stored(engine, [Result(40, 100, 1), Result(31, 50, 1)])
        assert view(engine, "regressions") == []

    def test_the_fleet_by_driver(self, engine: Engine) -> None:
        results = drawn(3)
        ids = stored(engine, results)
        row(engine, device="T4", extra={"driver": "470.1"}, performance=None)
        mean = {}
        for members in by_configuration(results):
            for place, _ in members:
                mean[place] = fmean(result.throughput for _, result in members)
        groups = defaultdict(list)
        for place, result in enumerate(results):
            groups[result.device, result.driver].append((place, result))
        found = {(one["device"], one["driver"]): one for one in view(engine, "fleet")}
        assert set(found) == set(groups)
        assert len(ids) + 1 == sum(one["results"] for one in found.values())
        for key, members in groups.items():
            one, extra = found[key], int(key == ("T4", "470.1"))
            assert one["results"] == len(members) + extra
            assert one["configurations"] == len({result.model for _, result in members}) + extra
            assert one["hardware_names"] == len({result.machine for _, result in members})
            relative = fmean(result.throughput / mean[place] for place, result in members)
            assert one["relative_throughput"] == pytest.approx(relative)
            assert moment(one["first_run"]) == max(members, key=lambda m: m[1].days_ago)[1].run_time
            latest = min(members, key=lambda member: member[1].days_ago)[1].run_time
            assert moment(one["latest_run"]) == (NOW if extra else latest)

    def test_every_column_is_documented(self, engine: Engine) -> None:
        stored(engine, [Result(2, 100, 1), Result(1, 50, 1)])
        documented = set(re.findall(r"`(\w+)`", DOCS.read_text(encoding="utf-8")))
        for name in VIEWS:
            assert {f"gbench_{name}", *view(engine, name)[0]} <= documented

    def test_the_documents_queries_answer(self, engine: Engine) -> None:
        stored(engine, [*drawn(5), Result(2, 100, 1), Result(1, 50, 1)])
        blocks = documented_sql("sql")
        assert len(blocks) >= 5
        for block in blocks:
            assert query(engine, block), block

    def test_a_rebuild_by_gbench_takes_the_views_along(self, engine: Engine) -> None:
        drop_all(engine)
        for name in VIEWS:
            with pytest.raises(Exception, match=f"gbench_{name}"):
                view(engine, name)
        upgrade(engine)
        assert [view(engine, name) for name in VIEWS] == [[]] * len(VIEWS)
