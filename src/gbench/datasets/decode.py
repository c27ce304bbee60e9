"""Decode an image file."""

from pathlib import Path

from PIL import Image

from gbench.errors import InfrastructureError

DECODE_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # all that Pillow's decoders raise


def decode_rgb(path: Path) -> Image.Image:
    """The image as RGB. Raises InfrastructureError: it can't be decoded."""
    try:
        with Image.open(path) as image:
            rgb: Image.Image = image.convert("RGB")
    except DECODE_ERRORS as error:
        raise InfrastructureError(
            f"{path} can't be decoded ({error})", "fix or remove it; `gbench data verify` lists changed files"
        ) from error
    return rgb
