"""What a throughput is a figure of: records of launch.sh against records of gbench."""

from __future__ import annotations

from typing import Any

import pytest

from drawn_records import drawn
from gbench.cndb.record import Record
from gbench.cndb.throughput import kind_of
from gbench.compare.comparison import compare
from gbench.compare.differences import require_comparable
from gbench.compare.sides import Run
from gbench.errors import UsageError

OURS = {"throughput": 17.0, "throughput_legacy_img_s": 20.1, "data_share": 0.15, "throughput_unit": "img/s"}


def of_launch_sh(throughput: float, **changes: Any) -> Record:
    """A record as the original wrote it."""
    return drawn(**{"perf_data": {"throughput": f"{throughput} img/s"}, "hyper_params": None, **changes})


def of_gbench(run_id: str = "r", perf: dict[str, Any] | None = None) -> Record:
    return drawn(extra={"run_id": run_id, "recipe": "performance"}, perf_data=perf or OURS)


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (of_launch_sh(20.0), "launch.sh"),
        (of_launch_sh(20.0, model="pix2pix"), "launch.sh"),
        (of_launch_sh(20.0, model="resnet50"), None),
        (of_gbench(), "end to end"),
        (of_gbench(perf={"throughput": 20.0}), None),  # of somebody's run script
    ],
)
def test_a_record_says_what_its_throughput_is_of(record: Record, kind: str | None) -> None:
    assert kind_of(record) == kind


def test_old_and_new_are_compared_by_the_figure_of_launch_sh() -> None:
    allowed = ("hyper_params", "recipe")
    new = [Run(of_gbench(name), name) for name in ("a", "b")]
    found = compare([Run(of_launch_sh(20.0), "old"), Run(of_launch_sh(20.2), "older")], new, [], 0.03, allowed)
    (one,) = found.judged
    assert one.change.new == pytest.approx(20.1)
    assert one.metric.title == "throughput as launch.sh"
    assert "throughput is compared as launch.sh: steps 3 to 7, data excluded: some runs have no other" in found.notes
    both_new = compare([new[0]], [new[1]], [], 0.03)
    assert both_new.judged[0].change.new == pytest.approx(17.0)


def test_records_of_launch_sh_alone_have_one_throughput() -> None:
    sides = [[Run(of_launch_sh(figure), name)] for figure, name in ((20.0, "old"), (20.2, "older"))]
    found = compare(*sides, [], 0.03)
    assert (found.judged[0].metric.title, found.judged[0].change.new) == ("throughput", pytest.approx(20.2))
    assert not any("throughput is compared" in note for note in found.notes)


def test_a_figure_of_something_else_is_refused_by_its_name() -> None:
    short = of_gbench(perf={key: value for key, value in OURS.items() if "legacy" not in key})
    with pytest.raises(UsageError, match=r"throughput_of is what its script printed in BASE, end to end in NEW"):
        require_comparable([of_launch_sh(20.0)], [short], ("hyper_params", "recipe"))


@pytest.mark.parametrize(
    ("settings", "said", "hint"),
    [
        (None, "hyper_params is not said in BASE, 3 settings in NEW", "--allow hyper_params"),
        (
            {"lr": 1, "netG": "unet"},
            "hyper_params.lr is 1 in BASE, 0.0002 in NEW; hyper_params.netG",
            "--allow hyper_params",
        ),
        ({"lr": 1, "netG": "resnet_9blocks", "beta1": 0.5}, "hyper_params.lr is 1", "--allow hyper_params.lr"),
    ],
)
def test_the_least_set_of_flags_is_named(settings: dict[str, Any] | None, said: str, hint: str) -> None:
    new = drawn(hyper_params={"lr": 0.0002, "netG": "resnet_9blocks", "beta1": 0.5})
    given = settings and {"beta1": 0.5, **settings}
    with pytest.raises(UsageError) as caught:
        require_comparable([drawn(hyper_params=given)], [new], ())
    assert said in caught.value.what
    assert caught.value.hint == f"if this is intended, give {hint}"
    names = [word for word in hint.split() if word != "--allow"]
    assert require_comparable([drawn(hyper_params=given)], [new], names)


def test_records_of_different_rules_are_compared_by_the_first() -> None:
    reading = {"throughput_img_s": 16.0, "throughput_interval": {"low": 15.0, "high": 17.0}}
    first = Run(of_gbench("old", {**OURS, "throughput": 16.1}), "old")
    extra = {"run_id": "new", "recipe": "performance", "first_reading": reading}
    now = Run(drawn(extra=extra, perf_data={**OURS, "statistics": 2}), "new")
    found = compare([first], [now], [], 0.03)
    assert found.judged[0].change.new == pytest.approx(16.0)
    assert "throughput is compared by the first rule of the statistics: some records have no other" in found.notes
    again = Run(drawn(extra={**extra, "run_id": "again"}, perf_data={**OURS, "statistics": 2}), "again")
    assert compare([now], [again], [], 0.03).judged[0].change.new == pytest.approx(17.0)
