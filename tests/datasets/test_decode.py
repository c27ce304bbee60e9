"""Images that others made: those that can't be decoded, or would not be what they are in the file."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gbench.datasets.decode import decode_rgb, image_size
from gbench.datasets.stats import stats
from gbench.errors import InfrastructureError


def bomb(path: Path) -> None:
    """A 1-bit PNG of 20000x10000 pixels: its header alone is what counts."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (20000).to_bytes(4, "big") + (10000).to_bytes(4, "big") + b"\x01\x00\x00\x00\x00"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")))


def test_a_bomb_is_refused_in_every_reader(tmp_path: Path) -> None:
    path = tmp_path / "set/train/1.png"
    path.parent.mkdir(parents=True)
    bomb(path)
    with pytest.raises(InfrastructureError, match=r"1\.png can't be decoded \(Image size \(200000000 pixels\)"):
        decode_rgb(path)
    with pytest.raises(InfrastructureError, match="can't be decoded"):
        image_size(path)
    with pytest.raises(InfrastructureError, match="can't be decoded"):
        stats(tmp_path / "set")


@pytest.mark.parametrize(
    ("pixels", "name", "mode"),
    [
        (np.full((2, 4), 30000, np.uint16), "1.png", "I;16"),
        (np.full((2, 4), 0.5, np.float32), "1.tif", "F"),
        (np.full((2, 4), 70000, np.int32), "1.tif", "I"),
    ],
)
def test_pixels_that_would_be_clipped(tmp_path: Path, pixels: np.ndarray, name: str, mode: str) -> None:
    Image.fromarray(pixels).save(tmp_path / name)
    with pytest.raises(InfrastructureError, match=rf"{name} has pixels of mode {mode}, deeper than 8 bits"):
        decode_rgb(tmp_path / name)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK"])
def test_modes_of_8_bits_are_taken(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("1.tif" if mode == "CMYK" else "1.png")
    Image.new(mode, (4, 2)).save(path)
    assert decode_rgb(path).size == image_size(path) == (4, 2)


def test_what_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_text("<html>")
    with pytest.raises(InfrastructureError, match="it is a web page"):
        decode_rgb(tmp_path / "1.png")
    (tmp_path / "1.png").write_text("text")
    with pytest.raises(InfrastructureError, match="its format is none that Pillow knows"):
        decode_rgb(tmp_path / "1.png")
    with pytest.raises(InfrastructureError, match=r"2\.png can't be decoded \(No such file or directory\)"):
        decode_rgb(tmp_path / "2.png")
