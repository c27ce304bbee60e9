"""The cells of a matrix, and which of them can't run; starts nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gbench.errors import InfrastructureError, UsageError
from gbench.experiments.sweep_matrix import Axes, Place, images_of, read_matrix, require_some, why_not
from gbench.machine.gpus import Gpu, Gpus
from gbench.settings.spec import RunSpec

MakeSpec = Callable[..., RunSpec]
NO_GPU = Gpus(missing="NVML: no driver")
V100 = Gpus(tuple(Gpu(index, "Tesla V100", f"GPU-{index}", (7, 0)) for index in range(2)), "535")


def place(batch: int, devices: int, precision: str = "FP32") -> Place:
    return Place(batch_size=batch, device_count=devices, precision=precision, data="real")


def test_totals_are_shared_and_a_devices_batch_is_multiplied() -> None:
    strong = Axes(batch_size=[4, 2, 4], device_count=[2, 1], precision=["TF32", "FP32"])
    assert strong.scaling == "strong"
    found = [(one.precision, one.device_count, one.batch_size) for one in strong.places("cached")]
    assert found == [(p, n, b) for p in ("TF32", "FP32") for n in (1, 2) for b in (2, 4)]
    assert {one.data for one in strong.places("cached")} == {"cached"}
    weak = Axes(per_device_batch_size=[1, 4], device_count=[1, 2], precision=["FP32"], data=["real", "resident"])
    assert weak.scaling == "weak"
    found = [(one.data, one.device_count, one.batch_size) for one in weak.places("cached")]
    assert found == [(d, n, b * n) for d in ("real", "resident") for n in (1, 2) for b in (1, 4)]


def test_a_place_changes_nothing_else_of_a_spec(make_spec: MakeSpec) -> None:
    base = make_spec()
    spec = Place(batch_size=8, device_count=2, precision="BF16", data="resident").spec(base)
    assert (spec.batch_size, spec.device_count, spec.precision, spec.config.data.source) == (8, 2, "BF16", "resident")
    back = Place(batch_size=4, device_count=1, precision="FP32", data="real").spec(spec)
    assert back == base


def test_what_cant_run_says_why(make_spec: MakeSpec) -> None:
    on_cpu, on_gpu = make_spec(ignore_check=True), make_spec(device="cuda")

    def reason(where: Place, base: RunSpec, gpus: Gpus, images: int | None = None) -> str:
        error = why_not(where, base, gpus, images)
        return "" if error is None else error.what

    assert reason(place(4, 2), on_cpu, NO_GPU) == ""
    assert "BATCH_SIZE 3, the total over all devices, can't be divided evenly over 2" in reason(
        place(3, 2), on_cpu, NO_GPU
    )
    assert "cpu-ranks: 4096 ranks, cores for" in reason(place(4096, 4096), make_spec(), NO_GPU)
    assert reason(place(4096, 4096), on_cpu, NO_GPU) == ""
    assert "TF32 does not exist on --device cpu" in reason(place(4, 1, "TF32"), on_cpu, NO_GPU)
    assert "DEVICE_COUNT 4: this host has 2" in reason(place(4, 4), on_gpu, V100)
    assert "needs compute capability 8.0, GPU 0 (Tesla V100) has 7.0" in reason(place(4, 1, "BF16"), on_gpu, V100)
    assert "no GPU was found" in reason(place(4, 1), on_gpu, NO_GPU)
    assert "16 images, fewer than one batch of 32" in reason(place(32, 1), on_cpu, NO_GPU, 16)
    parts = make_spec(settings=("schedule.drop_last=false",))
    assert reason(place(32, 1), parts, NO_GPU, 16) == ""


def test_settings_for_several_devices_leave_out_cells_of_one(tmp_path: Path) -> None:
    text = LEAST + "batch_size: 4\ndevice: cpu\nrunner: local\nignore_check: true\nset: {speed.static_graph: true}\n"
    axes, resolved = read_matrix(write(tmp_path, text), {}, "")
    reasons = [why_not(one, resolved.spec, NO_GPU, None) for one in axes.places("real")]
    assert [error and error.what for error in reasons] == [
        "speed.static_graph is for the exchange of gradients, one device has none",
        None,
    ]
    with pytest.raises(UsageError, match="one device has none"):
        read_matrix(write(tmp_path, text.replace("[1, 2]", "1")), {}, "")


def test_an_untuned_cell_is_left_out_of_an_optimized_sweep(make_spec: MakeSpec) -> None:
    error = why_not(place(4, 1), make_spec(profile="optimized"), NO_GPU, None)
    assert error is not None and "no tuning is remembered" in error.what


def test_an_epoch_is_counted_where_the_dataset_is(make_spec: MakeSpec, facades: Path) -> None:
    assert images_of(make_spec()) == 16
    assert images_of(make_spec(settings=("data.max_dataset_size=5",))) == 5
    assert images_of(make_spec(settings=("data.phase=test",))) == 4
    assert images_of(make_spec(datasets_dir=str(facades / "none"), dataset=None)) is None


def test_a_matrix_of_which_no_cell_can_run_is_an_error() -> None:
    places = [place(1, 2), place(3, 2)]
    odd, gone = UsageError("1 over 2", "take 2"), InfrastructureError("no GPU", "buy one")
    require_some(places, [odd, None])
    with pytest.raises(UsageError, match="none of the cells can run; FP32, 2 devices, batch 1: 1 over 2; take 2"):
        require_some(places, [odd, gone])
    with pytest.raises(InfrastructureError, match="no GPU; buy one"):
        require_some(places, [gone, odd])


LEAST = "model: pix2pix_resnet_9blocks\ndevice_count: [1, 2]\nprecision: FP32\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "matrix.yaml"
    path.write_text(text)
    return path


def test_a_file_may_have_lists_where_a_spec_file_has_one_value(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        LEAST + "per_device_batch_size: [1, 4]\ndata: [real, cached]\ndevice: cpu\nrunner: local\nsteps: 20\n",
    )
    axes, resolved = read_matrix(path, {}, "gbench sweep matrix.yaml")
    assert (axes.batch_size, axes.per_device_batch_size, axes.device_count) == (None, [1, 4], [1, 2])
    assert (axes.precision, axes.data) == (["FP32"], ["real", "cached"])
    assert (resolved.spec.device, resolved.spec.config.schedule.max_steps) == ("cpu", 20)
    assert resolved.spec.command_line == "gbench sweep matrix.yaml"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (LEAST, "must say either batch_size, the total, or per_device_batch_size"),
        (LEAST + "batch_size: 4\nper_device_batch_size: 4\n", "must say either batch_size"),
        (LEAST + "batch_size: [4, none]\n", "batch_size.1: input should be a valid integer, not 'none'"),
        (
            LEAST + "batch_size: []\n",
            "batch_size: value should have at least 1 item after validation, not 0; docs/sweep",
        ),
        ("", "is not a mapping of keys to values; docs/sweep.md shows a whole one"),
        (LEAST.replace("model", "#") + "batch_size: 4\n", "does not say model; docs/sweep.md shows a whole one"),
        (LEAST + "colour: 4\n", ", queue_timeout, claim, container, per_device_batch_size"),  # each key is listed once
        (LEAST + "batch_sizes: [4]\n", "there is no key 'batch_sizes'; did you mean batch_size?"),
        (LEAST + "batch_size: 4\nsteps: [10, 20]\n", "steps: input should be a valid integer"),
        ("model: pix2pix_resnet_9blocks\nbatch_size: 4\nprecision: FP32\n", "does not say device_count"),
        (LEAST.replace("FP32", "[FP32, FP8]") + "batch_size: 4\n", "precision.1: input should be 'FP32', 'TF32'"),
        (LEAST.replace("9blocks", "9block") + "batch_size: 4\n", "did you mean pix2pix_resnet_9blocks?"),
    ],
)
def test_a_file_that_cant_be_meant_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(UsageError) as error:
        read_matrix(write(tmp_path, text), {}, "")
    assert sentence in str(error.value)
    assert str(error.value).startswith(str(tmp_path))
