"""Valid values of a record in their one form, and one sentence for invalid ones."""

from __future__ import annotations

import math
from datetime import date, datetime, timezone
from typing import Any

import numpy as np
import pytest

from drawn_records import drawn
from gbench.cndb.values import DEPTH, figures_as_numbers, mapping_of, measured, plain
from gbench.errors import RecordError


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (2.0, 2.0),
        (2**53 + 1, 2**53 + 1),
        (-0.0, 0.0),
        (np.float64(1.5), 1.5),
        (1e16, 10**16),
        (-1.5e300, -int(1.5e300)),
        ((1, 2), [1, 2]),
        (date(2026, 1, 31), "2026-01-31"),
        (datetime(2026, 1, 31, 12, tzinfo=timezone.utc), "2026-01-31T12:00:00+00:00"),
        (
            {True: 1, None: 2, 3: 4, 1.5: 6, date(2026, 1, 31): 7},
            {"true": 1, "null": 2, "3": 4, "1.5": 6, "2026-01-31": 7},
        ),
    ],
)
def test_values_have_one_form(value: Any, kept: Any) -> None:
    found = plain(value, "x")
    assert found == kept
    assert type(found) is type(kept)
    assert not (isinstance(found, float) and math.copysign(1, found) < 0 and found == 0)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (math.nan, "perf_data.a.b is nan: not a finite number"),
        (-math.inf, "perf_data.a.b is -inf: not a finite number"),
        (10**309, "perf_data.a.b is an integer beyond 1.8e+308"),
        ([int("f" * 9000, 16)], "perf_data.a.b[0] is an integer beyond 1.8e+308"),
        ("a\0b", "perf_data.a.b holds a NUL character, which no database takes"),
        ("\ud800", "perf_data.a.b holds text that is not Unicode"),
        ([1, math.nan], "perf_data.a.b[1] is nan: not a finite number"),
        (b"bytes", "perf_data.a.b is a bytes: not a number, text, list or mapping"),
        ({1, 2}, "perf_data.a.b is a set: not a number, text, list or mapping"),
        ({"\0": 1}, "a key of perf_data.a.b holds a NUL character, which no database takes"),
        ({"\udfff": 1}, "a key of perf_data.a.b holds text that is not Unicode"),
        ({math.nan: 1}, "a key of perf_data.a.b is nan: not a finite number"),
        ({(1, 2): 1}, "perf_data.a.b has a tuple for a key"),
        ({1: "a", "1": "b"}, "perf_data.a.b has two keys that are one as text"),
    ],
)
def test_what_no_store_keeps_is_refused_by_its_key(value: Any, why: str) -> None:
    with pytest.raises(RecordError) as error:
        drawn(perf_data={"a": {"b": value}})
    assert error.value.what == f"a drawn record: {why}"


def test_what_nests_too_deep_is_refused() -> None:
    assert drawn(extra={"a": nested(DEPTH - 1)})
    with pytest.raises(RecordError, match=r"extra\.a\[0\].* is nested more than 100 deep"):
        drawn(extra={"a": nested(DEPTH)})


def test_what_contains_itself_is_refused() -> None:
    itself: list[Any] = []
    itself.append(itself)
    with pytest.raises(RecordError, match="is nested more than 100 deep"):
        drawn(extra={"a": itself})


@pytest.mark.parametrize("key", ["perf_data", "metric_data", "hyper_params", "extra", "soft_info", "hard_info"])
def test_every_free_mapping_is_looked_through(key: str) -> None:
    with pytest.raises(RecordError, match=rf"{key}\.x\.y\[0\] is nan"):
        drawn(**{key: {"name": "n", "x": {"y": [math.nan]}}})


@pytest.mark.parametrize("key", ["model", "code_link", "dist_type", "md5_val"])
def test_every_text_is_looked_through(key: str) -> None:
    with pytest.raises(RecordError, match=f"{key} holds a NUL character"):
        drawn(**{key: "a\0b"})


@pytest.mark.parametrize(
    ("text", "figure"),
    [
        ("22.9 img/s", (22.9, "img/s")),
        ("22.9", (22.9, "")),
        (" -1.5e-3s ", (-1.5e-3, "s")),
        (".5 %", (0.5, "%")),
        ("5. ms", (5.0, "ms")),
        ("1e400 img/s", None),
        ("N/A", None),
        ("", None),
        ("1.2.3", None),
        ("10-20 img/s", None),
        (22.9, None),
        (None, None),
        pytest.param("1" * 100_000 + "!", None, id="long"),
    ],
)
def test_figures_with_their_unit(text: Any, figure: tuple[float, str] | None) -> None:
    assert measured(text) == figure


def test_the_originals_figures_become_numbers_with_a_unit() -> None:
    perf = {"throughput": "22.9 img/s", "latency": "0.5", "variance": "N/A", "note": "3 img/s"}
    assert figures_as_numbers(perf) == {
        "throughput": 22.9,
        "throughput_unit": "img/s",
        "latency": 0.5,
        "variance": "N/A",
        "note": "3 img/s",
    }
    assert perf["throughput"] == "22.9 img/s"


@pytest.mark.parametrize(("text", "kept"), [("1e300 img/s", int(1e300)), ("-0.0 img/s", 0.0)])
def test_a_figure_from_text_has_the_one_form_too(text: str, kept: float) -> None:
    figure = (drawn(perf_data={"throughput": text}).perf_data or {})["throughput"]
    assert (figure, str(figure)) == (kept, str(kept))


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ('{"name": "CPU", "cores": "104"}', {"name": "CPU", "cores": "104"}),
        ("[1]", "[1]"),
        ("376 GB", "376 GB"),
        pytest.param("[" * 100_000, "[" * 100_000, id="deep"),
        (5, 5),
    ],
)
def test_a_mapping_in_json_text(value: Any, read: Any) -> None:
    assert mapping_of(value) == read


def test_json_text_in_hard_info_is_read_and_its_name_left_alone() -> None:
    record = drawn(hard_info={"name": '{"a": 1}', "cpu": '{"cores": 4}'})
    assert record.model_dump()["hard_info"] == {"name": '{"a": 1}', "cpu": {"cores": 4}}
    with pytest.raises(RecordError, match=r"hard_info: the JSON text\.cores is nan"):
        drawn(hard_info={"name": "n", "cpu": '{"cores": NaN}'})
