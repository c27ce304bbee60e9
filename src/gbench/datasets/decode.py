"""Read an image file: the one reader of images that others made."""

from pathlib import Path

from PIL import Image, UnidentifiedImageError

from gbench.base.files import open_file, taken_for
from gbench.errors import InfrastructureError

DECODE_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # all that Pillow's decoders raise
DEEP = ("I", "F")  # beginnings of the modes with more than 8 bits a pixel, which a conversion to RGB would clip


def decode_rgb(path: Path) -> Image.Image:
    """The image as RGB, 8 bits a channel. Raises InfrastructureError: it can't be decoded, or has deeper pixels."""
    try:
        with open_file(path) as file, Image.open(file) as image:
            deep = image.mode if image.mode.startswith(DEEP) else None
            rgb: Image.Image = image.convert("RGB")
    except DECODE_ERRORS as error:
        raise _cant_decode(path, error) from error
    if deep:
        raise InfrastructureError(
            f"{path} has pixels of mode {deep}, deeper than 8 bits: as RGB they would be clipped at 255",
            "convert it to 8 bits a channel by a rule of your own",
        )
    return rgb


def image_size(path: Path) -> tuple[int, int]:
    """Width and height, from the file's header. Raises InfrastructureError: it is not an image."""
    try:
        with open_file(path) as file, Image.open(file) as image:
            width, height = image.size
            return width, height
    except DECODE_ERRORS as error:
        raise _cant_decode(path, error) from error


def _cant_decode(path: Path, error: Exception) -> InfrastructureError:
    """The error for one of DECODE_ERRORS."""
    if isinstance(error, PermissionError):
        return InfrastructureError(f"{path} can't be read ({error.strerror})", "fix its permissions")
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if isinstance(error, UnidentifiedImageError):
        why = taken_for(path) or "its format is none that Pillow knows"
    return InfrastructureError(f"{path} can't be decoded ({why})", "fix or remove it")
