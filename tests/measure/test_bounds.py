"""Work counted from the graph, bounds measured on the device, and the verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from gbench.measure import bounds
from gbench.measure.bounds import BOUND, CARDS, INPUT_BOUND, LAUNCH_BOUND, data_sheet, limits
from gbench.measure.clock import StepClock
from gbench.measure.op_count import count_work
from gbench.measure.peak import ConvShape, measure_peak, median_call
from gbench.measure.summary import STATISTICS
from gbench.pix2pix import collect_facts
from gbench.pix2pix.step.count_ops import main_convolution, work_per_image
from gbench.runfolder.environment_facts import EnvironmentFacts
from gbench.runfolder.host_facts import BestPeak
from gbench.runfolder.run_result import Limits
from gbench.settings.spec import RunSpec
from golden import check_golden
from lagging import LaggingDevice

MakeSpec = Callable[..., RunSpec]
FULL_SIZE = ("network.ngf=64", "network.ndf=64", "data.load_size=286", "data.crop_size=256")


def test_a_step_of_resnet_9blocks_at_256_is_346_8_gflop(make_spec: MakeSpec) -> None:
    assert work_per_image(make_spec(settings=FULL_SIZE)).flop == pytest.approx(346.8e9, rel=1e-3)


@pytest.mark.parametrize(("batch_size", "device_count", "gigabytes"), [(1, 1, 4.889), (32, 1, 3.377), (32, 8, 3.718)])
def test_the_images_of_a_batch_share_the_cost_of_the_weights(
    make_spec: MakeSpec, batch_size: int, device_count: int, gigabytes: float
) -> None:
    work = work_per_image(make_spec(settings=FULL_SIZE, batch_size=batch_size, device_count=device_count))
    assert work.flop == 346_827_522_048
    assert work.bytes == pytest.approx(gigabytes * 1e9, rel=1e-3)


@pytest.mark.parametrize("precision", ["AMP", "BF16"])
def test_bytes_are_not_guessed_under_autocast(make_spec: MakeSpec, precision: str) -> None:
    work = work_per_image(make_spec(precision=precision))
    assert work.bytes is None
    assert work.flop == work_per_image(make_spec()).flop


def test_its_generator_forward_is_99_1_gflop() -> None:
    from gbench.pix2pix import build_generator

    with torch.device("meta"):
        generator, image = build_generator("resnet_9blocks"), torch.empty(1, 3, 256, 256)
    assert count_work(lambda: generator(image)).flop == pytest.approx(99.1e9, rel=1e-3)


@pytest.mark.parametrize("network", ["resnet_6blocks", "unet_128"])
def test_operations_are_those_of_torchs_own_counter(network: str) -> None:
    from gbench.pix2pix import build_generator

    with torch.device("meta"):
        generator, image = build_generator(network, ngf=4), torch.empty(2, 3, 128, 128)
    with FlopCounterMode(display=False) as counter:
        generator(image).sum().backward()
    assert count_work(lambda: generator(image).sum().backward()).flop == counter.get_total_flops() > 0


def test_operations_and_bytes_of_a_product_are_the_textbooks() -> None:
    a, b = torch.empty(8, 16, device="meta"), torch.empty(16, 4, device="meta")
    work = count_work(lambda: a @ b)
    assert work.flop == 2 * 8 * 16 * 4
    assert work.bytes == 4 * (8 * 16 + 16 * 4 + 8 * 4)


def test_a_view_moves_nothing() -> None:
    a = torch.empty(8, 16, device="meta")
    assert count_work(lambda: a.t().reshape(4, 4, 8).unsqueeze(0)).bytes <= 2 * 4 * 8 * 16  # reshape may copy once
    assert count_work(lambda: a.t().unsqueeze(0)).bytes == 0


def test_the_flop_of_a_convolution_are_those_torch_counts() -> None:
    shape = ConvShape(batch=2, channels=8, side=16)
    x, w = torch.empty(2, 8, 16, 16, device="meta"), torch.empty(8, 8, 3, 3, device="meta")
    assert count_work(lambda: F.conv2d(x, w, padding=1)).flop == shape.flop


def test_the_convolution_measured_is_the_residual_blocks(make_spec: MakeSpec) -> None:
    assert main_convolution(make_spec(settings=FULL_SIZE, batch_size=2)) == ConvShape(2, 256, 64)


def test_measuring_peaks_leaves_the_random_numbers() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    peak = measure_peak(torch.device("cpu"), torch.float32, ConvShape(1, 16, 16), seconds=0.03)
    assert torch.equal(torch.get_rng_state(), before)
    assert min(peak.conv_tflop_s, peak.gemm_tflop_s, peak.copy_gb_s) > 0
    assert peak.tflop_s == max(peak.conv_tflop_s, peak.gemm_tflop_s)


def test_a_short_kernel_is_measured_without_the_idle_start() -> None:
    """A 50 us kernel on a device that takes 20 us to wake up after each synchronisation."""

    class SlowToWake(LaggingDevice):
        def work(self, seconds: float) -> None:
            super().work(seconds + (20e-6 if self.free_s <= self.host_s else 0.0))

    device = SlowToWake()
    clock = StepClock(device, device.now)
    assert median_call(clock, lambda: device.work(50e-6), seconds=0.1).wall_s == pytest.approx(50e-6, rel=0.01)


def test_a_long_kernel_is_measured_alone() -> None:
    device = LaggingDevice()
    clock = StepClock(device, device.now)
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1
        device.work(1.0)

    assert median_call(clock, call, seconds=0.5).wall_s == pytest.approx(1.0)
    assert calls == 2 + 3  # two that do not count, and the least that do


BUSY = {"gemm_tflop_s": 30.0, "conv_tflop_s": 25.0, "copy_gb_s": 800.0}  # measured while the device was busy


def environment(gpu: bool = True, **changes: Any) -> EnvironmentFacts:
    values: dict[str, Any] = {
        "device": "A100-SXM4-40GB",
        "precision": {"ran": "TF32"},
        "hardware": {"gpus": []} if gpu else {},
        "work_per_image": {"flop": 300 * 10**9, "bytes": 5 * 10**9},
        "peak": {"gemm_tflop_s": 120.0, "conv_tflop_s": 90.0, "copy_gb_s": 1300.0},
    }
    return EnvironmentFacts.model_validate({**values, **changes})


def of(
    data_share: float = 0.0,
    ahead_share: float = 0.5,
    images_s: float = 200.0,
    rule: int = STATISTICS,
    images_cpu_s: float | None = None,
    best: BestPeak | None = None,
    **changes: Any,
) -> Limits:
    found = limits(environment(**changes), images_s, data_share, ahead_share, rule, images_cpu_s, best)
    assert found is not None
    return found


def test_shares_are_held_against_the_measured_and_the_promised() -> None:
    found = of()
    assert found.tflop_s == pytest.approx(60.0)
    assert found.gb_s == pytest.approx(1000.0)
    assert found.measured_flop_share == pytest.approx(0.5)
    assert found.data_sheet_flop_share == pytest.approx(60 / 156)
    assert found.measured_copy_share == pytest.approx(1000 / 1300)
    assert found.data_sheet is not None and "A100" in found.data_sheet


PEAK = {"gemm_tflop_s": 120.0, "conv_tflop_s": 90.0, "copy_gb_s": 1300.0}
BETTER = BestPeak(tflop_s=150.0, copy_gb_s=2000.0, source="run best")


@pytest.mark.parametrize(
    ("facts", "share", "copy", "text"),
    [
        ({}, 0.5, 1 / 1.3, "50% of what was measured here"),
        (
            {"peak_after": BUSY},
            0.5,
            1 / 1.3,
            "50% of the better peak measured here (50% to 200% of those before and aft",
        ),
        (
            {"peak": BUSY, "peak_after": PEAK},
            0.5,
            1 / 1.3,
            "50% of the better peak measured here (50% to 200% of those",
        ),
        ({"peak": BUSY, "best": BETTER}, 0.4, 0.5, "40% of the best peak on record, that of run best"),
        (
            {"peak_after": BUSY, "best": BETTER},
            0.4,
            0.5,
            "40% of the best peak on record, that of run best (50% to 200%",
        ),
        ({"best": BETTER.changed(tflop_s=100.0)}, 0.5, 0.5, "50% of what was measured here"),
        (
            {"peak": BUSY, "peak_after": BUSY},
            2.0,
            1 / 0.8,
            "200% of the better peak measured here, peak not trusted (200%",
        ),
    ],
)
def test_the_share_of_a_gpu_is_of_the_best_peak(facts: dict[str, Any], share: float, copy: float, text: str) -> None:
    found = of(**facts)
    assert found.measured_flop_share == pytest.approx(share)
    assert found.measured_copy_share == pytest.approx(copy)
    assert found.measured_text.startswith(text)
    assert ("peak not trusted" in found.verdict) == (share > 1)


def test_a_gpu_without_memory_for_its_peak_after_the_run(make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, why = (
        make_spec(settings=("measure.peak_seconds=1",)),
        iter([torch.OutOfMemoryError("full"), RuntimeError("broken")]),
    )

    def fail(*_: object) -> None:
        raise next(why)

    monkeypatch.setattr(collect_facts, "_peak", fail)
    assert collect_facts.peak_after(spec, torch.device("cpu")) == {}
    assert collect_facts.peak_after(spec, torch.device("cuda")) == {}
    with pytest.raises(RuntimeError, match="broken"):
        collect_facts.peak_after(spec, torch.device("cuda"))


def test_a_busy_processor_raises_no_share() -> None:
    """The peak is measured on an idle processor, and on one of which others take half; so is the run."""
    idle = {"gemm_tflop_s": 1.0, "conv_tflop_s": 0.5, "copy_gb_s": 20.0}
    per_cpu = {"gemm_tflop_cpu_s": 0.5, "conv_tflop_cpu_s": 0.25, "copy_gb_cpu_s": 10.0}
    half = {name: value / 2 for name, value in idle.items()}
    work = {"flop": 10**9, "bytes": 10**9}
    by_time, by_cpu_time = [], []
    for peak, images_s, cpus in ((idle, 300.0, 2.0), (half, 150.0, 1.0), (half, 300.0, 2.0), (idle, 150.0, 1.0)):
        values = {"images_s": images_s, "gpu": False, "work_per_image": work, "peak": {**peak, **per_cpu}}
        by_time.append(of(rule=2, images_cpu_s=images_s / cpus, **values).measured_flop_share)
        found = of(images_cpu_s=images_s / cpus, **values)
        assert found.tflop_cpu_s == pytest.approx(0.15) and found.measured_copy_share == pytest.approx(15.0)
        by_cpu_time.append(found.measured_flop_share)
    assert by_time == pytest.approx([0.3, 0.3, 0.6, 0.15])
    assert by_cpu_time == pytest.approx([0.3] * 4)
    assert of(gpu=False, work_per_image=work, peak={**idle, **per_cpu}).tflop_cpu_s is None  # without telemetry


def test_an_unknown_card_is_unknown_and_no_guess() -> None:
    found = of(device="Card X")
    assert found.data_sheet is found.data_sheet_flop_share is found.data_sheet_copy_share is None
    assert found.measured_flop_share == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("figures", "verdict"),
    [
        ({"data_share": 0.23}, "input-bound: 23% of the time is data wait"),
        ({"ahead_share": 0.01}, "launch-bound"),
        ({"ahead_share": 0.01, "gpu": False}, "memory-bound: 77%"),
        ({}, "memory-bound: 77%"),
        ({"peak": {"gemm_tflop_s": 66.0, "conv_tflop_s": 60.0, "copy_gb_s": 1300.0}}, "compute-bound: 91%"),
        ({"peak": None}, "unknown: the device's bounds were not measured"),
        (
            {"peak": BUSY},
            "unknown: peak not trusted, as the run did 200% of the operations a second",
        ),
        ({"peak": {**BUSY, "conv_tflop_s": 90.0}}, "unknown: peak not trusted, as the run did 125% of the bytes"),
        ({"peak": BUSY, "rule": 1}, "compute-bound: 200%"),
        ({"images_s": 10.0}, "neither compute- nor memory-bound: 2% of the operations and 4% of the bytes"),
        (
            {"peak": {"gemm_tflop_s": 150.0, "conv_tflop_s": 90.0, "copy_gb_s": 2500.0}},
            "neither compute- nor memory-bound alone: 40% of the operations and 40% of the bytes",
        ),
    ],
)
def test_the_verdict_is_in_words(figures: dict[str, Any], verdict: str) -> None:
    assert of(**figures).verdict.startswith(verdict)


def test_time_elsewhere_is_reported_only_if_most_of_it_is() -> None:
    slow, mixed = of(images_s=10.0), of(peak={"gemm_tflop_s": 150.0, "conv_tflop_s": 90.0, "copy_gb_s": 2500.0})
    assert slow.verdict.endswith("; most of the time goes elsewhere: the overhead of small operations, other processes")
    assert "elsewhere" not in mixed.verdict


AMP = {"precision": {"ran": "AMP"}, "work_per_image": {"flop": 300 * 10**9, "bytes": None}}


def test_a_waiting_amp_scaler_is_not_launch_bound() -> None:
    """GradScaler reads whether a gradient overflowed after G's backward pass: only Adam is handed over after that."""
    assert of(ahead_share=0.01, **AMP).verdict.startswith("compute-bound: 50%")
    busy = of(ahead_share=0.01, images_s=100.0, **AMP)
    assert busy.verdict == "not compute-bound: 25% of the operations a second measured here; bytes were not counted"
    assert busy.gb_s is busy.measured_copy_share is busy.data_sheet_copy_share is None


def test_a_run_that_did_not_count_its_work_has_no_limits() -> None:
    assert limits(environment(work_per_image=None), 1.0, 0.0, 0.0, STATISTICS) is None


@pytest.mark.parametrize(
    "name",
    [
        "AMD EPYC",
        "A100",
        "A100-SXM4-40GB MIG 1g.5gb",
        "H100 80GB HBM3 MIG 3g.40gb",
        "H100 NVL",
        "H200 NVL",
        "GH200 480GB",
        "V100S-PCIE-32GB",
        "V100-SXM2-32GB-LS",
    ],
)
def test_a_card_that_is_only_like_a_known_one_has_no_data_sheet(name: str) -> None:
    assert data_sheet(name) is None


def test_data_sheets_are_found_by_the_names_that_torch_gives() -> None:
    assert data_sheet("V100-PCIE-32GB") is not None
    assert data_sheet("H100 80GB HBM3") is not None
    assert data_sheet("H200") is not None
    for _, sheet in CARDS:
        assert (
            sheet.source and min(sheet.tflop_s.values()) == sheet.tflop_s["FP32"] and max(sheet.tflop_s.values()) < 1e3
        )


SPEEDS: list[dict[str, Any]] = [
    {"data": INPUT_BOUND},
    {"data": INPUT_BOUND - 0.001, "flop": BOUND},
    {"ahead": LAUNCH_BOUND - 0.001},
    {"ahead": LAUNCH_BOUND, "flop": BOUND - 0.001, "copy": BOUND},
    {},
    {"flop": 1.0, "copy": 1.0},
    {"flop": 1.01, "copy": 0.4},
    {"flop": 1.0, "copy": 1.01},
    {"flop": 1.001, "copy": 1.2, "first_rule": True},
    {"flop": 0.8, "copy": 0.8},
    {"flop": 0.8, "copy": 0.9},
    {"flop": BOUND - 0.001},
    {"flop": BOUND / 2, "copy": BOUND / 2},
    {"flop": BOUND / 2, "copy": BOUND / 2 - 0.001, "per": "a CPU-second"},
]


def test_all_that_is_said_of_what_bounds_a_run() -> None:
    usual = {"data": 0.0, "exchange": None, "ahead": None, "flop": None, "copy": None, "first_rule": False}
    usual |= {"per": "a second", "measured": "before it"}
    check_golden("bounds.txt", "".join(f"{bounds._verdict(**{**usual, **one})}\n" for one in SPEEDS))
