"""The page of a run: its figures, its promises (self-contained, escaped, the same bytes), and runs that went wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path

import pytest

from gbench.errors import InfrastructureError
from gbench.measure.summary import summarize_folder
from gbench.reports.plots import POINTS, looks
from gbench.reports.run_page import write_report
from gbench.runfolder.folder import RunFolder
from gbench.settings.spec import RunSpec
from pages import Page
from run_folders import write_run

MakeSpec = Callable[..., RunSpec]
NASTY = "<script>alert('$x$ & y')</script>"


def page_of(folder: RunFolder) -> Page:
    return Page(write_report(folder, folder.path / "report.html").read_text(encoding="utf-8"))


def test_the_headline_is_the_throughput_and_its_device(make_spec: MakeSpec) -> None:
    spec = make_spec(batch_size=8, device_count=2)
    text = page_of(write_run(spec)).text
    # 10 measured steps of 0.1 s, 8 images each, a fifth of the time waiting for data
    assert "80.00 img/s" in text
    assert "Without waiting for data100.0 img/s" in text
    assert "Data wait20.0% of the time" in text
    assert "80 images in 1.000 s" in text
    assert "Batch8 in all, 4 per device" in text
    assert "Devices2 × CPU 9000" in text
    assert "PrecisionFP32" in text
    assert "10 steps after 2 of warm-up" in text
    assert f"Dataset{spec.dataset}Batch" in text
    assert text.count("complete ·") == 1 and "incomplete" not in text


def test_every_rank_has_its_line(make_spec: MakeSpec) -> None:
    page = page_of(write_run(make_spec(batch_size=6, device_count=3), step_s=lambda step: 0.1 * step))
    assert page.text.count("10750.0 ms") == 3  # ten steps of 0.3 to 1.2 s: mean 0.75 s
    assert all(f"rank {rank}" in page.text for rank in range(3))


def test_the_same_run_gives_the_same_bytes(make_spec: MakeSpec, tmp_path: Path) -> None:
    folder = write_run(make_spec())
    first = write_report(folder, tmp_path / "first.html").read_bytes()
    assert write_report(folder, tmp_path / "second.html").read_bytes() == first


def test_the_page_needs_nothing_from_anywhere(make_spec: MakeSpec) -> None:
    folder = write_run(make_spec())
    page = page_of(folder)
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert page.all("src") == []
    links = {link for link in page.all("href") if not link.startswith("#")}
    assert links == {folder.spec().code_link}
    raw = (folder.path / "report.html").read_text()
    assert "@import" not in raw and "@font-face" not in raw
    assert all(target.startswith("#") for target in re.findall(r"url\((.*?)\)", raw))
    assert any("default-src 'none'" in content for content in page.all("content"))


def test_ids_are_unique_and_headings_in_order(make_spec: MakeSpec) -> None:
    page = page_of(write_run(make_spec()))
    ids = page.all("id")
    assert len(ids) == len(set(ids))
    used = [link for name in ("href", "xlink:href") for link in page.all(name) if link.startswith("#")]
    used += [found for style in page.all("clip-path") for found in re.findall(r"url\((#.*?)\)", style)]
    assert used and {target.removeprefix("#") for target in used} <= set(ids)
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_plots_take_the_pages_colours_and_are_labelled(make_spec: MakeSpec) -> None:
    folder = write_run(make_spec())
    page = page_of(folder)
    raw = (folder.path / "report.html").read_text()
    drawings = re.findall(r"<svg.*?</svg>", raw, flags=re.DOTALL)
    assert len(drawings) == 4
    css, _, dark = raw[raw.index("<style>") : raw.index("</style>")].partition("prefers-color-scheme: dark")
    for drawing in drawings:
        assert not re.findall(r"(?:fill|stroke|color): *#|(?:fill|stroke)=\"#", drawing)
        used = set(re.findall(r"var\((--[\w-]+)\)", drawing))
        assert {"--muted", "--rule"} < used
        assert all(f"{name}:" in css and f"{name}:" in dark for name in used)
    described = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert all(attrs["role"] == "img" and len(attrs["aria-label"] or "") > 40 for attrs in described)
    assert len([tag for tag, _ in page.tags if tag == "figcaption"]) == 4


def test_twelve_ranks_differ_without_colour() -> None:
    assert len({(look["linestyle"], look["marker"]) for look in islice(looks(), 12)}) == 12


def test_everything_from_files_is_escaped(make_spec: MakeSpec) -> None:
    spec = make_spec(command_line=f"gbench launch {NASTY}").model_copy(update={"dataset": NASTY})
    folder = write_run(
        spec,
        losses=lambda step: {NASTY: 1.0},
        host={"warnings": [NASTY], "where": {"runner": NASTY, NASTY: "javascript:alert(1)"}},
    )
    page = page_of(folder)
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count(NASTY) >= 5
    assert not any(link.startswith("javascript:") for link in page.all("href"))


def test_every_value_of_the_configuration_is_there(make_spec: MakeSpec) -> None:
    spec = make_spec(seed=4711)
    text = page_of(write_run(spec)).text
    values = spec.model_dump()
    config = values.pop("config")
    for section, inner in config.items():
        for key in inner if isinstance(inner, dict) else ():
            assert f"{section}.{key}" in text
    for key in set(values) - {"command_line"}:
        assert key in text
    assert "seed4711" in text


def test_the_environment_and_how_to_reproduce(make_spec: MakeSpec) -> None:
    command = "gbench launch pix2pix_resnet_9blocks 4 1 FP32 --set 'a=b  c'"
    spec = make_spec(command_line=command)
    text = page_of(write_run(spec)).text
    assert "Precision, as torch reported it after the first and the last step" in text
    assert "cuDNN conv FP32 precisionieee" in text
    assert "PyTorch version2.7.1" in text
    assert "Peak, copy11.95 GB/s" in text
    assert "Image IDsha256:feedface" in text
    assert "SHA-256c0ffee" in text
    assert "0123456789abcdef" in text
    assert "2026-01-02 03:04:05 UTC" in text and "2026-01-02 03:05:05 UTC" in text
    assert command in text
    assert f"export DATASETS={spec.dataset}\nexport DATASETS_DIR={spec.datasets_dir}\n" in text


def test_warnings_are_shown(make_spec: MakeSpec) -> None:
    assert "Warnings" not in page_of(write_run(make_spec())).text
    assert "the GPU was hot" in page_of(write_run(make_spec(), host={"warnings": ["the GPU was hot"]})).text


def test_a_killed_run_says_so_and_shows_what_there_is(make_spec: MakeSpec) -> None:
    run = write_run(make_spec(batch_size=8, device_count=2), steps=7, ended=False)
    text = page_of(run).text
    assert "incomplete ·" in text
    assert "Its end was not seen" in text
    with run.taken():
        assert "It is still running" in page_of(run).text
    assert "It did 7 of 12 steps" in text
    assert "80.00 img/s" in text
    assert "Precision, as torch reported it after the first step" in text


def test_a_failed_run_says_why(make_spec: MakeSpec) -> None:
    folder = write_run(make_spec(), steps=1)
    folder.write("error.json", {"what": "cuda:0 is out of memory", "hint": "take a smaller BATCH_SIZE"})
    text = page_of(folder).text
    assert "failed ·" in text
    assert "cuda:0 is out of memory; take a smaller BATCH_SIZE" in text
    assert "nothing measured" in text
    assert "It ended before its first measured step" in text


def test_a_run_that_never_started_has_a_page(make_spec: MakeSpec) -> None:
    text = page_of(RunFolder.create(make_spec())).text
    assert "nothing measured" in text
    assert "FP32 requested" in text
    assert "network.netG" in text


def test_a_rank_that_wrote_nothing_leaves_the_others_drawn(make_spec: MakeSpec) -> None:
    folder = write_run(make_spec(batch_size=4, device_count=2))
    (folder.path / "steps-rank1.jsonl").unlink()
    page = page_of(folder)
    assert "nothing measured" in page.text
    assert "svg" in {tag for tag, _ in page.tags}


LINE = (
    "network:their-model, batch size:32, device count:2, dpf mode:DP, precision:AMP, throughput:22.9 img/s, "
    "device:V100-PCIE-32GB, dataset:facades, driver:460.73.01\n"
)


def custom(make_spec: MakeSpec, line: str) -> RunFolder:
    folder = RunFolder.create(make_spec().model_copy(update={"recipe": "custom"}))
    folder.write("host.json", {"ended_utc": "2026-01-02T03:05:05.678+00:00", "exit_code": 0})
    (folder.path / "benchmark.log").write_text(line)
    return folder


def test_a_run_script_of_ones_own_shows_what_its_line_says(make_spec: MakeSpec) -> None:
    page = page_of(custom(make_spec, LINE))
    assert "22.90 img/s" in page.text
    assert "not as gbench measured it" in page.text
    assert "Devices2 × V100-PCIE-32GB" in page.text
    assert "PrecisionAMP" in page.text
    assert "svg" not in {tag for tag, _ in page.tags}
    assert "incomplete" not in page.text


def test_samples_and_a_line_of_the_script_stand_side_by_side(make_spec: MakeSpec) -> None:
    folder = write_run(make_spec(batch_size=8, device_count=2))
    (folder.path / "benchmark.log").write_text(LINE)
    text = page_of(folder).text
    assert "pix2pix_resnet_9blocks, AMP, 2 × V100-PCIE-32GB: 22.90 img/s" in text  # what the record carries
    assert "What the run script reported" in text
    assert "End to end, data loading included80.00 img/s" in text


def test_a_line_that_can_not_be_read_is_told(make_spec: MakeSpec) -> None:
    text = page_of(custom(make_spec, LINE.replace("size:32", "size:many"))).text
    assert "batch size 'many' is not a whole number" in text
    assert "incomplete ·" in text


@pytest.mark.parametrize("left", ["", '{"version": 1, "rank": 0}\n', None])
def test_samples_that_are_gone_are_told(make_spec: MakeSpec, left: str | None) -> None:
    folder = write_run(make_spec())
    summary = summarize_folder(folder)
    assert summary is not None
    folder.write_result(summary)
    stream = folder.path / "steps-rank0.jsonl"
    stream.unlink() if left is None else stream.write_text(left)
    text = page_of(folder).text
    assert "incomplete ·" in text
    assert "40.00 img/sAs result.json says; the raw samples are gone, so it can't be recomputed." in text
    assert "Its raw samples are gone; the figures are those of result.json, which can't be verified" in text
    assert not any(claim in text for claim in ("run script reported", "ecomputed from", "mean_s"))


def test_a_long_run_stays_small_by_points_for_stretches(make_spec: MakeSpec) -> None:
    folder = write_run(make_spec(), steps=20 * POINTS, planned_steps=20 * POINTS)
    text = page_of(folder).text
    assert text.count("each point is the mean of a stretch of steps") == 2
    assert (folder.path / "report.html").stat().st_size < 400_000


def test_a_slow_first_step_does_not_flatten_the_others(make_spec: MakeSpec) -> None:
    text = page_of(write_run(make_spec(), step_s=lambda step: 9.0 if step == 1 else 0.1)).text
    assert "in the warm-up a step reaches 9.000 s, beyond the scale" in text
    assert "step time, ms" in text


def test_losses_that_are_not_finite_leave_gaps(make_spec: MakeSpec, recwarn: pytest.WarningsRecorder) -> None:
    text = page_of(write_run(make_spec(), losses=lambda step: {"G_L1": math.nan if step > 5 else 1.0})).text
    assert "values that are not finite leave gaps" in text
    assert not recwarn.list


def test_no_losses_no_plot_of_them(make_spec: MakeSpec) -> None:
    text = page_of(write_run(make_spec(), losses=lambda step: {})).text
    assert "Distribution of step times" in text
    assert "Losses" not in text


def test_a_folder_that_is_no_run_is_an_expected_error(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match=r"has no spec\.json; give the folder of a gbench run"):
        write_report(RunFolder(tmp_path), tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_can_not_be_written_is_an_expected_error(make_spec: MakeSpec, tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="can't write"):
        write_report(write_run(make_spec()), tmp_path / "missing" / "report.html")
