"""The other sections of a run's page: telemetry on the steps' clock, bounds, checks, images, long curves."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gbench.reports.pictures import SHOWN
from gbench.reports.run_page import write_report
from gbench.reports.timeline import Axis
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.step_columns import Steps
from gbench.runfolder.steps import Step
from gbench.settings.spec import RunSpec
from pages import Page
from run_folders import write_run, write_telemetry

MakeSpec = Callable[..., RunSpec]


def page_of(folder: RunFolder) -> Page:
    return Page(write_report(folder, folder.path / "report.html").read_text(encoding="utf-8"))


def described(page: Page, start: str) -> str:
    """The description of the drawing that begins with `start`."""
    (found,) = [text for text in page.all("aria-label") if text.startswith(start)]
    return found


def test_devices_and_host_are_drawn_below_the_steps(make_spec: MakeSpec) -> None:
    folder = write_run(make_spec(batch_size=8, device_count=2), steps=40, planned_steps=40)
    write_telemetry(folder, 4.0, gpus=2)
    page = page_of(folder)
    panels = described(page, "Line plots over time")
    gpus = ("SM clock", "GPU power", "GPU temperature", "GPU utilisation")
    assert all(panel in panels for panel in (*gpus, "host CPUs", "CPUs kept busy", "memory"))
    assert "stolen" not in panels  # nothing was
    assert "each GPU is drawn as the rank of its number" in panels
    assert "time since the first step began (s)" in page.text
    assert re.search(r"01,410 \(1,410 to 1,410\)30[45]\.\d+ \(300\.0 to 310\.0\)", page.text)  # GPU 0 in the table


def test_without_telemetry_the_page_says_so(make_spec: MakeSpec) -> None:
    page = page_of(write_run(make_spec()))
    assert "no telemetry was read while it ran" in page.text
    assert "host CPUs" not in page.text


def test_steps_in_which_a_gpu_was_held_back_are_marked(make_spec: MakeSpec) -> None:
    folder = write_run(make_spec(), steps=40, planned_steps=40)
    write_telemetry(folder, 4.0, gpus=1, held_back=lambda t_s: 1.96 < t_s < 2.96)
    page = page_of(folder)
    told = re.search(r"held back in (\d+) steps, marked along the top \(gpu 0: sw_power_cap\)", page.text)
    assert told is not None and 9 <= int(told[1]) <= 12  # 1 s of steps of 0.1 s
    assert "without throttled steps" in described(page, "Dot plot of throughputs")


def step(number: int, end_s: float) -> Step:
    return Step(number, 1, 4, 0.0, 1.0, end_s, 0.0, False)


def test_the_axis_leaves_out_pauses_and_survives_a_reboot() -> None:
    axis = Axis(Steps.of([step(1, 100.0), step(2, 101.0), step(3, 9001.0), step(4, 6.0)]))
    assert axis.ends_s.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert axis.paused == 2


def test_bounds_are_shown_with_the_roof_that_was_measured(make_spec: MakeSpec) -> None:
    folder = write_run(make_spec())
    environment: dict[str, Any] = folder.read("environment.json") or {}
    del environment["version"]
    environment["work_per_image"] = {"flop": 2_000_000_000, "bytes": 500_000_000}
    environment["peak"] = {"gemm_tflop_s": 0.1, "conv_tflop_s": 0.16, "copy_gb_s": 40.0}
    folder.write("environment.json", environment)
    page = page_of(folder)
    # 40 img/s: 0.08 TFLOP/s, half of the convolution's 0.16, and 20 GB/s, half of the copy's 40
    assert "Of the operations measured50.0%" in page.text
    assert "Reached80.00 GFLOP/s, 20.00 GB/s" in page.text
    assert "input-bound: 20%" in page.text
    assert "80.00 GFLOP/s at 4.000 operations a byte" in described(page, "Roofline plot")


def test_no_bounds_without_counted_work(make_spec: MakeSpec) -> None:
    page = page_of(write_run(make_spec()))
    assert "Roofline" not in page.text and "#bounds" not in page.all("href")


def test_checks_are_listed_with_what_was_found_and_what_to_do(make_spec: MakeSpec) -> None:
    clocks = {"id": "gpu-clocks", "severity": "warning", "found": "locked at 1110 MHz", "mend": "nvidia-smi -rgc"}
    root = {"id": "root", "severity": "error", "found": "<b>no</b>", "mend": "", "ignored": True}
    page = page_of(write_run(make_spec(), host={"checks": [clocks, root]}))
    assert "gpu-clockswarninglocked at 1110 MHzTo do: nvidia-smi -rgc" in page.text
    assert "rootignored<b>no</b>" in page.text


def paint(folder: Path, name: str, kinds: tuple[str, ...] = ("real_A", "fake_B", "real_B")) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for kind in kinds:
        Image.new("RGB", (256, 256), "navy").save(folder / f"{name}_{kind}.png")


def test_pictures_of_the_evaluation_are_in_the_page(make_spec: MakeSpec) -> None:
    folder = write_run(make_spec())
    paint(folder.path / "images", "epoch001")  # of the training: the evaluation's go before
    final = folder.path / "evaluations" / "final"
    for number in range(1, 21):
        paint(final / "images", str(number))
    (final / "gallery.html").write_text("all")
    assert page_of(folder).all("alt") == [f"sample epoch001, {kind} image" for kind in ("input", "generated", "real")]
    (final / "evaluation.json").touch()  # it came to its end
    page = page_of(folder)
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 3 * SHOWN
    assert all((picture["src"] or "").startswith("data:image/jpeg;base64,") for picture in pictures)
    assert pictures[0]["alt"] == "sample 1, input image" and pictures[3]["alt"] == "sample 3, input image"
    assert "evaluations/final/gallery.html" in page.all("href")
    assert f"{SHOWN} of 20 samples" in page.text
    assert (folder.path / "report.html").stat().st_size < 500_000


def test_a_picture_that_is_none_is_left_out(make_spec: MakeSpec) -> None:
    folder = write_run(make_spec())
    paint(folder.path / "images", "1")
    (folder.path / "images" / "1_real_A.png").write_bytes(b"\x89PNG cut off")
    page = page_of(folder)
    assert [attributes["alt"] for tag, attributes in page.tags if tag == "img"] == [
        "sample 1, generated image",
        "sample 1, real image",
    ]


def test_training_pictures_stand_in_and_the_gallery_is_found(make_spec: MakeSpec, tmp_path: Path) -> None:
    folder = write_run(make_spec())
    for epoch in ("epoch001", "epoch002"):
        paint(folder.path / "images", epoch, ("fake_B",))
    page = Page(write_report(folder, tmp_path / "page.html").read_text())
    assert page.all("alt") == ["sample epoch001, generated image", "sample epoch002, generated image"]
    final = folder.path / "evaluations" / "final"
    paint(final / "images", "9", ("fake_B",))
    (final / "evaluation.json").touch()
    (final / "gallery.html").write_text("all")
    page = Page(write_report(folder, tmp_path / "page.html").read_text())
    assert page.all("alt") == ["sample 9, generated image"]
    assert f"results/{folder.path.name}/evaluations/final/gallery.html" in page.all("href")


@pytest.mark.parametrize(("steps", "by"), [(1200, "epoch"), (300, "step")])
def test_losses_of_a_long_run_are_means_of_its_epochs(make_spec: MakeSpec, steps: int, by: str) -> None:
    folder = write_run(
        make_spec(),
        steps=steps,
        planned_steps=steps,
        epoch=lambda step: (step - 1) // 20 + 1,
        losses=lambda step: {"G_L1": float((step - 1) // 20)},
    )
    drawing = described(page_of(folder), "Line plots of the losses")
    assert f"by {by}: G_L1 from 0.000 to {(steps - 1) // 20}.00" in drawing
    assert ("all steps of an epoch" in drawing) == (by == "epoch")
