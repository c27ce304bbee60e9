"""Bills of materials of images whose packages are known."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from gbench.errors import InfrastructureError, UsageError
from gbench.runners.sbom import LIST_PACKAGES, sbom_of

IMAGE = SimpleNamespace(id="sha256:abc")
PACKAGES = [["pypi", None, "Jinja2", "3.1.6"], ["deb", "debian", "libc6", "2.36-9+deb12u14"], ["pypi", None, "a", "1"]]


def engine(printed: bytes) -> Any:
    return SimpleNamespace(containers=SimpleNamespace(run=lambda *arguments, **more: printed))


def test_packages_become_components_of_a_valid_document() -> None:
    text = sbom_of(engine(json.dumps([*PACKAGES, PACKAGES[2]]).encode()), IMAGE, "gbench:pix2pix")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bom = json.loads(text)
    root = bom["metadata"]["component"]
    assert (root["name"], root["version"], root["type"]) == ("gbench:pix2pix", "sha256:abc", "container")
    urls = ["pkg:deb/debian/libc6@2.36-9%2Bdeb12u14", "pkg:pypi/a@1", "pkg:pypi/jinja2@3.1.6"]
    assert sorted(one["purl"] for one in bom["components"]) == urls


def test_packages_are_listed_in_a_closed_container() -> None:
    asked: list[object] = []

    def run(*arguments: object, **options: object) -> bytes:
        asked.extend([*arguments, options])
        return b"[]"

    sbom_of(SimpleNamespace(containers=SimpleNamespace(run=run)), IMAGE, "gbench:pix2pix")
    closed = {"remove": True, "network_mode": "none", "cap_drop": ["ALL"]}
    assert asked == ["sha256:abc", ["python3", "-c", LIST_PACKAGES], closed]


def test_the_list_has_the_packages_of_this_environment() -> None:
    printed = subprocess.run([sys.executable, "-c", LIST_PACKAGES], capture_output=True, text=True, check=True).stdout
    assert ["pypi", None, "pytest", pytest.__version__] in json.loads(printed)


def test_an_image_that_prints_something_else() -> None:
    sentence = "^the image gbench:pix2pix can't list its packages; see its python3$"
    with pytest.raises(InfrastructureError, match=sentence):
        sbom_of(engine(b"no json"), IMAGE, "gbench:pix2pix")


def test_without_the_extra_one_sentence_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cyclonedx", None)
    with pytest.raises(UsageError, match=r"--sbom needs the extra sbom; pip install 'gbench\[sbom\]'"):
        sbom_of(engine(b"[]"), IMAGE, "gbench:pix2pix")
