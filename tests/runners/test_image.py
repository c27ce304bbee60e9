"""The content of an image, and the name derived from it."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker.errors
import pytest

from gbench.base.paths import project_file
from gbench.errors import UsageError
from gbench.runners import image
from gbench.runners.image import build_context, plan_image

DOCKERFILE = project_file("Dockerfile")
DIGEST = "sha256:" + "0" * 64
NO_NAME = "is not an image name; write [registry/]name[:tag] in lower case, with a tag below 116 letters"
ADD_IT = "add it before FROM, as in the project's Dockerfile, or leave --from-image out"


def copy_of(dockerfile: Path, folder: Path, more: str = "") -> Path:
    copy = folder / "Dockerfile"
    copy.write_text(dockerfile.read_text() + more)
    return copy


def test_context_holds_all_that_the_wheel_is_made_of() -> None:
    paths = [file.path for file in build_context(DOCKERFILE)]
    assert paths == sorted(paths)
    for needed in ("Dockerfile", "src/gbench/__init__.py", "scripts/pt-pix2pix.sh", "configs/pix2pix_unet_256.yaml"):
        assert needed in paths
    included = re.findall(r'^"(\S+)" = "gbench/assets/', project_file("pyproject.toml").read_text(), re.MULTILINE)
    assert len(included) >= 6
    for name in included:
        assert any(path == name or path.startswith(f"{name}/") for path in paths), name
    assert not [path for path in paths if "__pycache__" in path or "/." in path or "assets" in path]


def test_context_is_what_docker_build_by_hand_sends() -> None:
    ignored = (project_file("Dockerfile").parent / ".dockerignore").read_text().splitlines()
    sent = {line[1:] for line in ignored if line.startswith("!")}
    assert sent == {*image.PROJECT_FILES, "Dockerfile", "src"}


def test_tar_carries_modes_but_neither_dates_nor_owners() -> None:
    files = build_context(DOCKERFILE)
    with tarfile.open(fileobj=image._tar(files)) as archive:
        entries = {entry.name: entry for entry in archive}
    assert list(entries) == [file.path for file in files]
    assert entries["scripts/pt-pix2pix.sh"].mode == 0o755
    assert entries["README.md"].mode == 0o644
    assert {(entry.mtime, entry.uid, entry.gid, entry.uname) for entry in entries.values()} == {(0, 0, 0, "")}


@pytest.mark.parametrize(
    ("cont", "stem"),
    [
        ("gbench", "gbench:latest"),
        ("gbench:pix2pix", "gbench:pix2pix"),
        (
            "host:5000/team/gpu_golden_bench:pix2pix-21.06-pytorch-py3",
            "host:5000/team/gpu_golden_bench:pix2pix-21.06-pytorch-py3",
        ),
        ("host:5000/gbench", "host:5000/gbench:latest"),
    ],
)
def test_name_is_the_tag_and_a_hash_of_the_sources(cont: str, stem: str) -> None:
    plan = plan_image(cont, DOCKERFILE, None)
    assert plan.name == f"{stem}-{plan.source_hash[:12]}"
    assert plan == plan_image(cont, DOCKERFILE, None)


def test_every_source_changes_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [plan_image("gbench", DOCKERFILE, None).name, plan_image("gbench", DOCKERFILE, "other:base").name]
    names.append(plan_image("gbench", copy_of(DOCKERFILE, tmp_path, "LABEL changed=yes\n"), None).name)

    package = tmp_path / "gbench"
    package.mkdir()
    monkeypatch.setattr(image, "package_dir", lambda: package)
    (package / "module.py").write_text("one\n")
    names.append(plan_image("gbench", DOCKERFILE, None).name)
    (package / "module.py").chmod(0o755)
    names.append(plan_image("gbench", DOCKERFILE, None).name)
    (package / "module.py").write_text("two\n")
    names.append(plan_image("gbench", DOCKERFILE, None).name)
    (package / "module.py").rename(package / "other.py")
    names.append(plan_image("gbench", DOCKERFILE, None).name)
    assert len(set(names)) == len(names)

    for unimportant in ("__pycache__/other.pyc", ".other.py.swp", "assets/Dockerfile"):
        (package / unimportant).parent.mkdir(exist_ok=True)
        (package / unimportant).write_text("not a source")
    assert plan_image("gbench", DOCKERFILE, None).name == names[-1]


def test_base_is_the_dockerfiles_own_or_the_one_given(tmp_path: Path) -> None:
    own = plan_image("gbench", DOCKERFILE, None)
    assert own.base == "pytorch/pytorch:2.7.1-cuda12.6-cudnn9-runtime"
    assert plan_image("gbench", DOCKERFILE, "base:1").build_args == {"FROM_IMAGE_NAME": "base:1"}
    (tmp_path / "Dockerfile").write_text("FROM debian:12\n")
    fixed = plan_image("gbench", tmp_path / "Dockerfile", None)
    assert (fixed.base, fixed.build_args) == (None, {})


@pytest.mark.parametrize("cont", [DIGEST, f"team/gbench@{DIGEST}"])
def test_a_digest_pins_the_image(cont: str) -> None:
    plan = plan_image(cont, DOCKERFILE, None)
    assert (plan.name, plan.pinned, plan.files) == (cont, True, ())


@pytest.mark.parametrize(
    ("cont", "dockerfile", "from_image", "sentence"),
    [
        ("<registry>/bench:1", None, None, f"CONT '<registry>/bench:1' {NO_NAME}"),
        ("Bench", None, None, f"CONT 'Bench' {NO_NAME}"),
        ("bench:" + "t" * 116, None, None, f"CONT 'bench:{'t' * 116}' {NO_NAME}"),
        (
            DIGEST,
            None,
            "base:1",
            f"--from-image has no effect on the pinned image {DIGEST}; leave one of the two out",
        ),
        (
            "bench",
            "FROM debian:12\n",
            "base:1",
            f"FILE has no ARG FROM_IMAGE_NAME, so --from-image has no effect; {ADD_IT}",
        ),
        (
            "bench",
            "ARG FROM_IMAGE_NAME\nFROM ${FROM_IMAGE_NAME}\n",
            None,
            "ARG FROM_IMAGE_NAME in FILE has no default; give --from-image",
        ),
    ],
)
def test_what_can_not_be_meant_is_refused(
    tmp_path: Path, cont: str, dockerfile: str | None, from_image: str | None, sentence: str
) -> None:
    file = DOCKERFILE
    if dockerfile is not None:
        file = tmp_path / "Dockerfile"
        file.write_text(dockerfile)
    with pytest.raises(UsageError) as caught:
        plan_image(cont, file, from_image)
    assert str(caught.value) == sentence.replace("FILE", str(file))


def test_log_lines_are_whole_and_plain() -> None:
    events = [
        {"stream": "Step 1/2 : FROM base"},
        {"stream": "\n"},
        {"stream": "a\nb"},
        {"stream": "\x1b[91mc\n\x1b[0m"},
        {"status": "Downloading", "progressDetail": {"current": 1}, "id": "layer"},
        {"status": "Pull complete", "progressDetail": {}, "id": "layer"},
        {"aux": {"ID": DIGEST}},
    ]
    assert list(image._lines(iter(events), "build")) == ["Step 1/2 : FROM base", "a", "bc", "Pull complete layer"]


class Images:
    """An engine's images: digests and labels by name."""

    def __init__(self, **images: tuple[list[str], dict[str, str]]) -> None:
        self._images, self.images = images, self

    def get(self, name: str) -> Any:
        if name not in self._images:
            raise docker.errors.ImageNotFound(name)
        digests, labels = self._images[name]
        return SimpleNamespace(id=name, attrs={"RepoDigests": digests}, labels=labels)


@pytest.mark.parametrize(
    ("from_image", "digests", "said"),
    [
        ("torch", [f"torch@{DIGEST}"], [f"base image torch is now torch@{DIGEST}: pin it with --from-image"]),
        ("torch", [], ["warning: base image torch has no digest: it comes from no registry, and can't be pinned"]),
        (f"torch@{DIGEST}", [f"torch@{DIGEST}"], []),
    ],
)
def test_the_digest_of_the_base_is_said(from_image: str, digests: list[str], said: list[str], tmp_path: Path) -> None:
    plan = plan_image("gbench:pix2pix", DOCKERFILE, from_image)
    engine = Images(**{from_image: (digests, {}), plan.name: ([], {image.BASE_LABEL: from_image})})
    lines: list[str] = []
    built = image.ensure_image(engine, plan, False, tmp_path, lines.append)
    assert lines == [f"image {plan.name} exists, built from the same sources", *said]
    assert image.base_digests(engine, built) == digests


def test_a_base_that_is_gone_has_no_digest() -> None:
    engine = Images(ours=([], {image.BASE_LABEL: "sha256:gone"}))
    assert image.base_digests(engine, engine.get("ours")) == []
