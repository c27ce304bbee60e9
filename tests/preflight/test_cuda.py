"""The driver compared with the CUDA version of an image or of the local torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from fake_engine import Engine
from gbench.preflight.cuda import Cuda, compare, image_cuda, local_cuda
from gbench.preflight.tools import Unreadable
from gbench.runfolder.host_facts import CheckFacts
from gbench.settings.spec import RunSpec


@pytest.mark.parametrize(
    ("wanted", "driver", "forward", "severity"),
    [
        ((12, 6), (12, 8), False, "ok"),
        ((12, 6), (12, 6), False, "ok"),
        ((11, 8), (12, 2), False, "ok"),
        ((12, 6), (12, 2), False, "info"),
        ((11, 1), (11, 0), False, "info"),
        ((10, 2), (10, 1), False, "error"),  # before minor-version compatibility
        ((13, 0), (12, 8), False, "error"),
        ((13, 0), (12, 8), True, "warning"),
    ],
)
def test_the_rule(wanted: tuple[int, int], driver: tuple[int, int], forward: bool, severity: str) -> None:
    finding = compare(Cuda(wanted, "the image", forward), driver)
    assert finding.severity == severity
    assert "CUDA {}.{} of the image".format(*wanted) in finding.found


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cuda: Optional[str] = '12.6'", Cuda((12, 6), "the local torch")),
        ("cuda = '11.8'", Cuda((11, 8), "the local torch")),
        ("cuda: Optional[str] = None", None),
    ],
)
def test_local_torch_tells_its_cuda_without_being_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, expected: Cuda | None
) -> None:
    package = tmp_path / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('must not be loaded')")
    (package / "version.py").write_text(f"__version__ = '2.7.1'\ndebug = False\n{line}\nhip = None\n")
    spec = SimpleNamespace(origin=str(package / "__init__.py"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    assert local_cuda() == expected


def test_a_torch_without_cuda_is_an_error(
    check_one: Callable[..., CheckFacts],
    nvml: Callable[..., ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nvml({})
    (tmp_path / "version.py").write_text("cuda: Optional[str] = None\n")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    check = check_one("gpu-cuda", runner="local")
    assert (check.severity, check.found) == ("error", "the local torch is built without CUDA")


@pytest.mark.parametrize(
    ("cuda", "capability", "severity"),
    [("13.0", (7, 0), "error"), ("13.0", (7, 5), "ok"), ("12.6", (7, 0), "ok")],
)
def test_cuda_13_has_no_code_for_a_v100(
    check_one: Callable[..., CheckFacts],
    nvml: Callable[..., ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cuda: str,
    capability: tuple[int, int],
    severity: str,
) -> None:
    nvml({"CudaComputeCapability": capability, "Name": "Tesla V100-SXM2-16GB"}, cuda=13000)
    (tmp_path / "version.py").write_text(f"cuda: Optional[str] = '{cuda}'\n")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    check = check_one("gpu-cuda", runner="local")
    assert check.severity == severity
    if severity == "error":
        assert check.found == "CUDA 13.0 of the local torch has no code for GPU 0 (Tesla V100-SXM2-16GB)"
        assert "CUDA 12.6" in check.fix


def test_the_installed_torch_tells(check_one: Callable[..., CheckFacts], nvml: Callable[..., ModuleType]) -> None:
    nvml({}, cuda=99000)
    check = check_one("gpu-cuda", runner="local")
    assert check.severity in ("ok", "error")  # error: a build without CUDA
    assert "local torch" in check.found


@pytest.mark.parametrize(
    ("images", "from_image", "expected"),
    [
        # neither is there yet: the base's name tells
        ({}, "pytorch/pytorch:2.7.1-cuda12.6-cudnn9-runtime", ((12, 6), False)),
        ({}, "local/torch:cu118", ((11, 8), False)),
        # the base's own word goes before its name
        ({"base:cuda12.6": ["PATH=/bin", "CUDA_VERSION=12.4.1"]}, "base:cuda12.6", ((12, 4), False)),
        ({"gbench": ["CUDA_VERSION=13.0.0", "_CUDA_COMPAT_PATH=/usr/local/cuda/compat"]}, "b:1", ((13, 0), True)),
        ({"gbench": ["PATH=/bin"]}, "nvcr.io/nvidia/pytorch:24.05-py3", None),
    ],
)
def test_an_image_tells_its_cuda(
    make_spec: Callable[..., RunSpec],
    monkeypatch: pytest.MonkeyPatch,
    images: dict[str, list[str]],
    from_image: str,
    expected: tuple[tuple[int, int], bool] | None,
) -> None:
    monkeypatch.setattr("docker.from_env", lambda **_: Engine(images))
    spec = make_spec(runner="docker", from_image=from_image)
    if expected is None:
        with pytest.raises(Unreadable, match="is unknown before it runs"):
            image_cuda(spec)
        return
    cuda = image_cuda(spec)
    assert (cuda.version, cuda.forward) == expected


def test_an_image_newer_than_the_driver_is_an_error(
    check_one: Callable[..., CheckFacts], nvml: Callable[..., ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("docker.from_env", lambda **_: Engine({}))
    nvml({}, cuda=11040)
    check = check_one("gpu-cuda", runner="docker", from_image="pytorch/pytorch:2.7.1-cuda12.6-cudnn9-runtime")
    assert check.severity == "error"
    assert check.found.endswith("by its name, driver up to 11.4")
