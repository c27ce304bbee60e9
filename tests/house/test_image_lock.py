"""The image's lock: every dependency with its hashes, and not the base's PyTorch."""

from __future__ import annotations

import re
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gbench.base.paths import project_file

OF_THE_BASE = {"torch", "torchvision"}


def test_image_lock_has_all_dependencies_but_torch() -> None:
    text = project_file("scripts/image-requirements.txt").read_text().replace("\\\n", "")
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    locked = dict(line[0].split("==") for line in lines)
    assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for line in lines for one in line[1:])
    assert all(len(line) > 1 for line in lines), "each with a hash"
    assert list(locked) == sorted(locked)
    needed = [Requirement("hatchling"), *map(Requirement, metadata.requires("gbench") or [])]
    for each in needed:
        in_image = each.marker is None or each.marker.evaluate({"extra": "upstream"})
        if in_image and (name := canonicalize_name(each.name)) not in OF_THE_BASE:
            assert each.specifier.contains(locked[name]), each
    assert not {name for name in locked if name in OF_THE_BASE or name.startswith(("nvidia-cu", "triton"))}
