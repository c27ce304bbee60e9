"""`gbench bisect --images`: images of one name, whose run script reports a figure that the image sets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support import Answer, spec_of_script

from engine import Engine
from gbench.experiments.image_versions import images_between

Gbench = Callable[..., Answer]
SCRIPT = """set -e
figure=$(python3 -c "import random; print($FIGURE * (1 + random.gauss(0, 1e-4)))")
echo "network:mine, batch size:$BATCH_SIZE, device count:$DEVICE_COUNT, dpf mode:Single, precision:$PRECISION, \
throughput:$figure samples/s, device:Card X, dataset:$DATASETS" >> "$BENCHMARK_LOG"
"""


def add_image(engine: Engine, name: str, figure: float) -> str:
    """An image, newer than those before, whose runs have this figure; returns its id."""
    id = f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"
    engine.images[name] = id
    engine.variables_of[id] = [f"FIGURE={figure}"]
    return id


@pytest.fixture
def spec(tmp_path: Path, facades: Path) -> Path:
    script, path = tmp_path / "run.sh", tmp_path / "spec.yaml"
    script.write_text(SCRIPT)
    path.write_text(yaml.safe_dump({**spec_of_script(script, facades), "runner": "docker"}))
    return path


def test_the_image_that_is_slower_is_found(gbench: Gbench, engine: Engine, spec: Path, tmp_path: Path) -> None:
    ids = [add_image(engine, f"mine:{day}", figure) for day, figure in enumerate((100, 100, 100, 97, 97))]
    add_image(engine, "other:2", 1)
    results = tmp_path / "results"
    short = gbench("bisect", spec, "mine:0", "mine:4", "--images", "--results", results, "--max-blocks", 4)
    assert short.code == 3, short.err
    assert "images to search: 4" in short.err
    (search,) = results.iterdir()
    answer = gbench("bisect", "--resume", search, "--max-blocks", 20, "--json")
    assert answer.code == 0, answer.err
    slower = ids[3].removeprefix("sha256:")
    assert answer.json["commits"] == [slower]
    assert f"{slower[:10]} (mine:3) made the change" in answer.json["sentence"]
    assert engine.containers == {}
    values = json.loads((search / "bisect.json").read_text())
    (search / "bisect.json").write_text(json.dumps({**values, "names": {}}))
    broken = gbench("bisect", "--resume", search)
    assert (broken.code, "names lacks one of the images" in broken.err) == (4, True), broken.err


def test_an_image_of_several_names_and_one_of_a_digest_alone(engine: Engine) -> None:
    """GOOD's name is the one that is given; an image that was pulled by its digest has no tag."""
    digest = f"mine@sha256:{'d' * 64}"
    for name in ("mine:0", digest, "mine:2"):
        add_image(engine, name, 1)
    engine.images = {"backup:0": engine.images["mine:0"], **engine.images}
    assert list(images_between("mine:0", "mine:2").values()) == ["mine:0", digest, "mine:2"]
    assert list(images_between(digest, "mine:2").values()) == [digest, "mine:2"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mine:0", "mine:9"], "there is no image mine:9 on this machine"),
        (["mine:1", "mine:0"], "BAD mine:0 is not an image of mine built after GOOD mine:1"),
        (["mine:0", "other:2"], "BAD other:2 is not an image of mine built after GOOD mine:0"),
        (["mine:0", "mine:1", "--repo", "."], "--repo and --images exclude each other"),
        (["mine:0"], "a spec file and two commits or images are needed"),
    ],
)
def test_wrong_images_are_one_sentence(
    gbench: Gbench, engine: Engine, spec: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    for name in ("mine:0", "mine:1", "other:2"):
        add_image(engine, name, 1)
    answer = gbench("bisect", spec, *arguments, "--images", "--results", tmp_path / "r")
    assert (answer.code, said in answer.err) == (2, True), answer.err
    assert not (tmp_path / "r").exists()


def test_images_need_docker_and_an_order(gbench: Gbench, engine: Engine, spec: Path, tmp_path: Path) -> None:
    add_image(engine, "mine:0", 1)
    engine.images["mine:same"] = "sha256:" + "1" * 64
    engine.built_at["mine:same"] = engine.built_at["mine:0"] = 1_700_000_000
    answer = gbench("bisect", spec, "mine:0", "mine:same", "--images", "--results", tmp_path / "r")
    assert (answer.code, "were built in the same second" in answer.err) == (2, True), answer.err
    spec.write_text(spec.read_text().replace("runner: docker", "runner: local"))
    answer = gbench("bisect", spec, "mine:0", "mine:same", "--images", "--results", tmp_path / "r")
    assert (answer.code, "runner local: images are compared with Docker only" in answer.err) == (2, True), answer.err
