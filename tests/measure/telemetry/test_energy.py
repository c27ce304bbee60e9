"""Energy over a window, for given samples; RAPL counters from files laid out as in the kernel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gbench.measure.telemetry.energy import energy
from gbench.measure.telemetry.energy_counters import RaplReader
from gbench.measure.telemetry.sample_columns import Samples, Telemetry, Window
from gbench.measure.telemetry.samples import (
    IDLE_ENDS,
    IDLE_STARTS,
    GpuFacts,
    GpuSample,
    Header,
    MissingLog,
    RaplDomain,
    Sample,
)

HEADER = Header(hz=10.0, started_utc="", gpus=[GpuFacts("0")])


def gpu_samples(times: list[float], reading: Callable[[float], GpuSample]) -> Samples:
    return Samples.of(Sample(t_s, 0.0, 0.0, gpus=[reading(t_s)]) for t_s in times)


def counted(t_s: float) -> GpuSample:
    return GpuSample(energy_mj=round(t_s * 100_000))


def test_the_windows_ends_lie_on_straight_lines_between_samples() -> None:
    samples = gpu_samples([0.0, 1.0, 2.0, 3.0], lambda t_s: GpuSample(energy_mj=int(t_s**2 * 1000)))
    # at 0.5 s half of the 1 J to 1 s; at 2.5 s half-way from 4 J to 9 J
    assert energy(Telemetry(HEADER, samples), Window(0.5, 2.5)).joules == pytest.approx(6.5 - 0.5)


def test_power_is_integrated_by_trapezia() -> None:
    times = [0.0, 0.5, 1.0, 1.5, 2.0]
    samples = gpu_samples(times, lambda t_s: GpuSample(power_w=100 * t_s))
    found = energy(Telemetry(HEADER, samples), Window(0.0, 2.0))
    assert (found.joules, found.source) == (pytest.approx(200.0), "power integration")


def test_a_window_that_the_samples_do_not_reach_has_no_energy() -> None:
    telemetry = Telemetry(HEADER, gpu_samples([1.0, 2.0, 3.0], counted))
    assert energy(telemetry, Window(1.0, 3.9)).joules == pytest.approx(290.0)  # the last rate carried on a little
    assert energy(telemetry, Window(1.0, 4.1)).joules is None
    assert energy(telemetry, Window(-0.1, 3.0)).joules is None


def test_a_hole_is_nothing_to_a_counter_and_too_much_for_power() -> None:
    times = [0.0, 1.0, 5.0, 6.0]
    by_counter = energy(Telemetry(HEADER, gpu_samples(times, counted)), Window(0.0, 6.0))
    assert by_counter.joules == pytest.approx(600.0)
    by_power = Telemetry(HEADER, gpu_samples(times, lambda t_s: GpuSample(power_w=100.0)))
    assert energy(by_power, Window(0.0, 6.0)).joules is None
    assert energy(by_power, Window(5.0, 6.0)).joules == pytest.approx(100.0)


def test_a_counter_that_stops_answering_leaves_it_to_power() -> None:
    times = [0.0, 1.0, 2.0, 3.0, 4.0]
    samples = gpu_samples(times, lambda t_s: GpuSample(energy_mj=100 if t_s < 2 else None, power_w=50.0))
    found = energy(Telemetry(HEADER, samples), Window(0.0, 4.0))
    assert (found.joules, found.source) == (pytest.approx(200.0), "power integration")


def test_a_reset_at_unknown_power_is_unknown_energy() -> None:
    samples = gpu_samples([0.0, 1.0, 2.0], lambda t_s: GpuSample(energy_mj=10**9 if t_s < 1 else round(t_s)))
    assert energy(Telemetry(HEADER, samples), Window(0.0, 2.0)).joules is None


def test_idle_power_is_that_of_the_marked_stretch() -> None:
    samples = gpu_samples(
        [0.0, 1.0, 2.0, 3.0, 4.0], lambda t_s: GpuSample(energy_mj=round(40_000 * t_s + 260_000 * max(0.0, t_s - 2)))
    )
    marks = {IDLE_STARTS: 0.5, IDLE_ENDS: 1.5}
    found = energy(Telemetry(HEADER, samples, marks), Window(2.0, 4.0))
    assert found.idle_power_w == pytest.approx(40.0)
    assert found.joules == pytest.approx(600.0)
    assert energy(Telemetry(HEADER, samples), Window(2.0, 4.0)).idle_power_w is None


def rapl_telemetry(readings: list[list[int | None]], ranges: list[int], gpus: int = 0) -> Telemetry:
    header = Header(
        10.0, "", rapl=[RaplDomain("package", range_uj) for range_uj in ranges], gpus=[GpuFacts("0")] * gpus
    )
    samples = [
        Sample(n / 10, 0.0, 0.0, gpus=[GpuSample(power_w=50.0)] * gpus, rapl_uj=counters)
        for n, counters in enumerate(readings)
    ]
    return Telemetry(header, Samples.of(samples))


def test_rapl_of_all_packages_over_a_wrap_of_one() -> None:
    # 10 W and 20 W for 0.3 s; the second overflows at 262,143,328,850 uJ
    high = 262_143_328_850
    readings: list[list[int | None]] = [[n * 10**6, (high - 3 * 10**6 + n * 2 * 10**6) % high] for n in range(4)]
    found = energy(rapl_telemetry(readings, [high, high]), Window(0.0, 0.3))
    assert (found.joules, found.source) == (pytest.approx(9.0), "rapl")
    assert found.joules_per_image(3) == pytest.approx(3.0)


def test_a_package_that_is_not_read_leaves_no_total() -> None:
    assert energy(rapl_telemetry([[0, None], [10**6, None]], [10**9, 10**9]), Window(0.0, 0.1)).joules is None


def test_beside_gpus_rapl_is_reported_and_not_counted() -> None:
    found = energy(rapl_telemetry([[0], [10**6]], [10**9], gpus=1), Window(0.0, 0.1))
    assert (found.joules, found.source) == (pytest.approx(5.0), "power integration")
    assert found.host is not None and found.host.joules == pytest.approx(1.0)


def test_without_any_counter_energy_is_absent() -> None:
    found = energy(rapl_telemetry([[], []], []), Window(0.0, 0.1))
    assert (found.joules, found.source, found.joules_per_image(3), found.host) == (None, None, None, None)


def domain(root: Path, folder: str, name: str, energy_uj: int | None, range_uj: int = 10**9) -> Path:
    (root / folder).mkdir()
    (root / folder / "name").write_text(f"{name}\n")
    (root / folder / "max_energy_range_uj").write_text(f"{range_uj}\n")
    if energy_uj is not None:
        (root / folder / "energy_uj").write_text(f"{energy_uj}\n")
    return root / folder


def test_rapl_takes_packages_and_memory_once_each(tmp_path: Path) -> None:
    domain(tmp_path, "intel-rapl:0", "package-0", 5)
    domain(tmp_path, "intel-rapl:0:0", "core", 1)
    domain(tmp_path, "intel-rapl:0:1", "dram", 2)
    domain(tmp_path, "intel-rapl:1", "psys", 9)
    domain(tmp_path, "intel-rapl-mmio:0", "package-0", 5)
    missing = MissingLog()
    reader = RaplReader(tmp_path, missing)
    assert [one.name for one in reader.domains] == ["intel-rapl:0 package-0", "intel-rapl:0:1 dram"]
    assert reader.read() == [5, 2]
    assert missing.drain() == []


def test_rapl_that_can_not_be_read_is_left_out_whole_and_named(tmp_path: Path) -> None:
    domain(tmp_path, "intel-rapl:0", "package-0", 5)
    domain(tmp_path, "intel-rapl:1", "package-1", None)
    missing = MissingLog()
    assert RaplReader(tmp_path, missing).read() == []
    assert [(one.what, one.why) for one in missing.drain()] == [("rapl", "intel-rapl:1: No such file or directory")]


def test_rapl_that_fails_during_the_run_is_named_once(tmp_path: Path) -> None:
    folder = domain(tmp_path, "intel-rapl:0", "package-0", 5)
    missing = MissingLog()
    reader = RaplReader(tmp_path, missing)
    (folder / "energy_uj").unlink()
    assert [reader.read(), reader.read()] == [[None], [None]]
    assert [one.what for one in missing.drain()] == ["rapl intel-rapl:0 package-0"]
