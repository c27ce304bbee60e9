"""The follower as a separate process, on a run folder that is being written."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest

from follow_cases import Writer, followed, until
from gbench.errors import InfrastructureError, UsageError
from gbench.follow.follower import Views, require_url
from gbench.follow.losses_svg import bands_of
from gbench.runfolder.folder import RunFolder
from gbench.settings.request import Request
from gbench.settings.resolve import resolve
from gbench.settings.spec import RunSpec

MakeSpec = Callable[..., RunSpec]


def convergence(make_spec: MakeSpec, **changes: object) -> RunSpec:
    return make_spec(recipe="convergence", steps=None, warmup=None, **changes)


def described(folder: RunFolder) -> str:
    """The description in losses.svg, which is valid XML at any time."""
    path = folder.path / "losses.svg"
    return ElementTree.fromstring(path.read_text()).attrib["aria-label"] if path.exists() else ""


def test_losses_are_redrawn_after_each_epoch_and_at_the_end(make_spec: MakeSpec) -> None:
    writer = Writer(convergence(make_spec))
    with followed(writer.folder, Views()) as lines:
        writer.steps(5)
        until(lambda: described(writer.folder) != "")
        assert "After epoch 1:" in described(writer.folder)  # one step of epoch 2 is no mean
        writer.steps(7)
    assert "epoch 3 of 200. Line plots" in described(writer.folder)
    assert "After epoch 3: G_GAN 0.70" in described(writer.folder)
    assert lines == ["a line of the run"]
    assert not (writer.folder.path / "follow.log").exists()


def test_a_run_without_a_step_has_no_plot_and_no_complaint(make_spec: MakeSpec) -> None:
    folder = RunFolder.create(convergence(make_spec))
    with followed(folder, Views()) as lines:
        pass
    assert {path.name for path in folder.path.iterdir()} == {".own", "spec.json"}
    assert lines == ["a line of the run"]


def test_what_cant_be_drawn_is_one_warning_and_the_run_goes_on(make_spec: MakeSpec) -> None:
    writer = Writer(convergence(make_spec))
    (writer.folder.path / "losses.svg").mkdir()  # no file can take its place
    with followed(writer.folder, Views()) as lines:
        writer.steps(8)
    (warning,) = lines[1:]
    assert warning.startswith("warning: losses.svg ends here (can't write")


def test_a_follower_that_fails_says_where_to_read_why(make_spec: MakeSpec) -> None:
    writer = Writer(convergence(make_spec))
    writer.steps(2)
    with (writer.folder.path / "steps-rank0.jsonl").open("a") as stream:
        stream.write('{"step": "three"}\n')
    with followed(writer.folder, Views()) as lines:
        pass
    log = writer.folder.path / "follow.log"
    assert lines[1:] == [f"warning: what is shown of the run may not be all: see {log}"]
    assert "Traceback" in log.read_text()


def test_a_visdom_that_is_not_there_costs_one_warning(make_spec: MakeSpec) -> None:
    pytest.importorskip("visdom")
    writer = Writer(convergence(make_spec))
    with followed(writer.folder, Views(visdom="http://127.0.0.1:9")) as lines:  # the port of nobody
        writer.steps(4)
        until(lambda: described(writer.folder) != "")
        writer.steps(4)
    (warning,) = lines[1:]
    assert warning == ("warning: visdom at http://127.0.0.1:9 does not answer; the run goes on, and it is tried again")
    assert "After epoch 2" in described(writer.folder)


def test_tensorboard_reads_a_resumed_runs_steps_once(make_spec: MakeSpec, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    spec = convergence(make_spec, settings=("schedule.print_every=2",))
    writer = Writer(spec)
    views = Views(tensorboard=str(tmp_path / "events"))
    with followed(writer.folder, views):
        writer.steps(7)
        writer.images(1)
    again = Writer(spec, writer.folder, resumed_after=4)
    with followed(writer.folder, views) as lines:
        again.steps(4)
        again.images(2)
    assert lines == ["a line of the run"]
    assert len(list((tmp_path / "events" / spec.run_id).iterdir())) == 2
    events = accumulator.EventAccumulator(str(tmp_path / "events" / spec.run_id))
    events.Reload()
    tags = events.Tags()
    losses = ["D_fake", "D_real", "G_GAN", "G_L1"]
    of_epochs = [f"epoch/{name}" for name in (*losses, "img_s", "learning_rate")]
    assert sorted(tags["scalars"]) == [*of_epochs, *(f"loss/{name}" for name in losses)]
    for name, value in (("img_s", 4 / 0.1), ("learning_rate", 0.0002)):
        assert [(one.step, one.value) for one in events.Scalars(f"epoch/{name}")] == [
            (step, pytest.approx(value)) for step in (4, 8)
        ]
    means = [(one.step, one.value) for one in events.Scalars("epoch/G_L1")]
    assert means == [(4, pytest.approx(39.75)), (8, pytest.approx(39.35))]
    assert sorted(tags["images"]) == ["fake_B", "real_A", "real_B"]
    scalars = events.Scalars("loss/G_L1")
    assert [(one.step, one.value) for one in scalars] == [
        (step, pytest.approx(40 - 0.1 * step)) for step in (2, 4, 6, 8)
    ]
    (image,) = events.Images("fake_B")
    assert (image.step, image.width, image.height) == (8, 2, 4)


def test_the_follower_loads_no_torch() -> None:
    pytest.importorskip("visdom")
    pytest.importorskip("tensorboard")
    code = (
        "import sys, gbench.follow.__main__, gbench.follow.visdom, gbench.follow.tensorboard, gbench.reports.loss_plot"
    )
    code += "; gbench.follow.visdom.load(); print(sys.modules.get('torch'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"


def test_the_reference_is_that_of_the_runs_own_recipe() -> None:
    request = Request("pix2pix_resnet_9blocks", 1, 1, "FP32", recipe="convergence", dataset="facades")
    bands = bands_of(resolve(request, {}).spec)
    assert set(bands) == {"G_GAN", "G_L1", "D_real", "D_fake"}
    first, last = bands["G_L1"][0], bands["G_L1"][-1]
    assert first.low < 38.3 < first.high
    assert last.last_epoch == 200
    other = Request("pix2pix_resnet_9blocks", 4, 1, "FP32", recipe="convergence")
    assert bands_of(resolve(other, {}).spec) == {}


@pytest.mark.parametrize("url", ["localhost:8097", "pix2pix_resnet_9blocks", "http://", "http://host:port"])
def test_what_is_no_url_is_refused_before_the_run(url: str) -> None:
    with pytest.raises(UsageError, match="is not a URL; write it like --visdom http://localhost:8097"):
        require_url(url)


def test_a_missing_package_is_named_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InfrastructureError, match=r"--tensorboard needs the package .* pip install 'gbench\[tensorb"):
        Views(tensorboard="").require()
