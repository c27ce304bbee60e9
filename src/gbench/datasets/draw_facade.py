"""Draw a synthetic facade: its plan in the CMP classes, its label map, and a photo-like picture of it.

Positions are shares of the image's side, so one seed gives the same facade at any size. Only uniform random numbers,
elementary arithmetic and Pillow's integer filters are used: the pixels are the same on every machine.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

# The classes of the CMP facade database, and their colours in pix2pix's label maps: the most frequent one of each class
# in the distributed test split. Those maps are JPEGs, so their pixels vary.
PALETTE = {
    "background": (0, 0, 222),
    "wall": (0, 47, 255),
    "window": (0, 128, 255),
    "door": (0, 207, 255),
    "cornice": (31, 255, 224),
    "sill": (112, 255, 143),
    "balcony": (192, 255, 62),
    "blind": (255, 239, 0),
    "deco": (255, 159, 0),
    "molding": (255, 80, 0),
    "pillar": (254, 0, 0),
    "shop": (174, 0, 0),
}
# What may surround a window. Left, top, right and bottom, as shares of the window's width and height.
WINDOW_PARTS = {
    "blind": ((-0.35, 0.0, 0.0, 1.0), (1.0, 0.0, 1.35, 1.0)),
    "cornice": ((-0.18, -0.3, 1.18, 0.0),),
    "sill": ((-0.12, 1.0, 1.12, 1.12),),
    "deco": ((0.0, 1.16, 1.0, 1.42),),
    "balcony": ((-0.25, 0.6, 1.25, 1.14),),
}
WALLS = ((214, 196, 158), (203, 170, 112), (222, 214, 200), (196, 142, 122), (158, 108, 88), (176, 182, 178))


class Appearance(NamedTuple):
    colour: tuple[int, int, int]
    bars: tuple[int, int] = (0, 0)
    """Into how many rows and columns bars divide it."""
    bar_level: float = 1.0
    """The colour of the bars as a multiple of the surface's."""
    shadow: bool = False
    """It projects, and darkens what is below it."""


APPEARANCES = {
    "wall": Appearance((255, 255, 255)),  # times the facade's own colour
    "window": Appearance((50, 56, 64), bars=(2, 2), bar_level=3.6),
    "door": Appearance((84, 58, 38), bars=(3, 2), bar_level=0.6),
    "cornice": Appearance((206, 198, 184), shadow=True),
    "sill": Appearance((214, 208, 196), shadow=True),
    "balcony": Appearance((150, 146, 140), bars=(2, 8), bar_level=0.35, shadow=True),
    "blind": Appearance((92, 104, 84), bars=(10, 1), bar_level=0.7),
    "deco": Appearance((172, 162, 146), bars=(1, 1), bar_level=0.7),
    "molding": Appearance((198, 190, 176), bars=(3, 1), bar_level=0.8, shadow=True),
    "pillar": Appearance((204, 196, 182), bars=(1, 3), bar_level=0.85),
    "shop": Appearance((64, 62, 66), bars=(4, 3), bar_level=1.9),
}


class Rectangle(NamedTuple):
    """A rectangle of one class, from (left, top) to (right, bottom), y pointing down."""

    kind: str
    left: float
    top: float
    right: float
    bottom: float

    def pixels(self, size: int) -> tuple[int, int, int, int]:
        """Left, top, right, bottom in whole pixels, at least one wide and high, inside the image."""
        left, top = (min(max(round(value * size), 0), size - 1) for value in (self.left, self.top))
        right, bottom = min(round(self.right * size), size), min(round(self.bottom * size), size)
        return left, top, max(right, left + 1), max(bottom, top + 1)


def draw_plan(rng: np.random.Generator) -> list[Rectangle]:
    """The facade's rectangles in painting order, later ones in front; the first is the wall."""
    left, right = rng.uniform(0.0, 0.15), 1 - rng.uniform(0.0, 0.15)
    top, bottom = rng.uniform(0.06, 0.25), rng.uniform(0.92, 0.98)
    levels = np.linspace(top + 0.04, bottom, int(rng.integers(3, 7)) + 1).tolist()
    edges = np.linspace(left + 0.01, right - 0.01, int(rng.integers(4, 9)) + 1).tolist()
    width, height = rng.uniform(0.4, 0.58), rng.uniform(0.46, 0.56)  # shares of the column and of the storey
    chances = dict(zip(WINDOW_PARTS, rng.uniform(0.0, 0.8, len(WINDOW_PARTS)).tolist(), strict=True))

    plan = [Rectangle("wall", left, top, right, bottom), Rectangle("molding", left, top, right, levels[0])]
    if rng.random() < 0.3:
        plan += [Rectangle("pillar", x - 0.008, levels[0], x + 0.008, levels[-2]) for x in edges]
    for upper, lower in pairwise(levels[:-1]):
        kinds = [kind for kind, chance in chances.items() if rng.random() < chance]
        for start, end in pairwise(edges):
            side, sill = (end - start) * (1 - width) / 2, upper + (lower - upper) * (0.24 + height)
            window = Rectangle("window", start + side, upper + (lower - upper) * 0.24, end - side, sill)
            plan += [window, *_around(window, kinds)]
    plan.append(Rectangle("molding", left, levels[-2] - 0.01, right, levels[-2] + 0.015))
    return [*plan, *_ground_floor(rng, edges, levels[-2] + 0.03, bottom)]


def _around(window: Rectangle, kinds: list[str]) -> Iterator[Rectangle]:
    """The parts of these classes that belong to a window."""
    x, y, width, height = window.left, window.top, window.right - window.left, window.bottom - window.top
    for kind in kinds:
        for left, top, right, bottom in WINDOW_PARTS[kind]:
            yield Rectangle(kind, x + left * width, y + top * height, x + right * width, y + bottom * height)


def _ground_floor(rng: np.random.Generator, edges: list[float], top: float, bottom: float) -> Iterator[Rectangle]:
    """Shops or windows, and a door among them."""
    others = "shop" if rng.random() < 0.6 else "window"
    door = int(rng.integers(0, len(edges) - 1))
    for column, (start, end) in enumerate(pairwise(edges)):
        kind, gap = ("door", 0.25) if column == door else (others, 0.12)
        base = top + (bottom - top) * {"door": 1.0, "shop": 0.92, "window": 0.7}[kind]
        yield Rectangle(kind, start + (end - start) * gap, top + 0.01, end - (end - start) * gap, base)


def draw_labels(plan: list[Rectangle], size: int) -> Image.Image:
    """The plan in the colours of the palette, `size` x `size` pixels, RGB."""
    image = Image.new("RGB", (size, size), PALETTE["background"])
    for rectangle in plan:
        image.paste(PALETTE[rectangle.kind], rectangle.pixels(size))
    return image


def draw_photo(plan: list[Rectangle], size: int, rng: np.random.Generator) -> Image.Image:
    """The photo of `plan`, `size` x `size` pixels, RGB."""
    facade, neighbours = (np.array(WALLS[int(rng.integers(len(WALLS)))], np.float32) for _ in range(2))
    light = rng.uniform(0.65, 0.95) * rng.uniform(0.96, 1.04, 3)  # exposure and white balance
    _, top, _, bottom = plan[0].pixels(size)
    canvas = np.empty((size, size, 3), np.float32)
    canvas[:top] = np.linspace((150, 180, 214), (226, 230, 236), top)[:, None]  # the sky
    canvas[top:bottom] = neighbours * np.float32(0.8)
    canvas[bottom:] = 112  # the street
    for rectangle in plan:
        _paint(canvas, rectangle, facade)
    stains = Image.fromarray(rng.integers(0, 256, (18, 18), np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
    canvas *= light.astype(np.float32) * (0.92 + 0.08 / 127.5 * np.asarray(stains, np.float32)[:, :, None])
    soft = Image.fromarray(canvas.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(size / 500))
    noise = rng.integers(-5, 6, (size, size, 1), np.int16)
    return Image.fromarray((np.asarray(soft, np.int16) + noise).clip(0, 255).astype(np.uint8))


def _paint(canvas: NDArray[np.float32], rectangle: Rectangle, wall: NDArray[np.float32]) -> None:
    """Paint the surface, darker towards the bottom; then its bars and its shadow."""
    left, top, right, bottom = rectangle.pixels(canvas.shape[0])
    look = APPEARANCES[rectangle.kind]
    colour = wall if rectangle.kind == "wall" else np.array(look.colour, np.float32)
    box, (rows, columns) = canvas[top:bottom, left:right], look.bars
    box[:] = colour * np.linspace(1.08, 0.9, bottom - top, dtype=np.float32)[:, None, None]
    if rows:
        box[:: max(2, (bottom - top) // rows)] = colour * look.bar_level
        box[:, :: max(2, (right - left) // columns)] = colour * look.bar_level
    if look.shadow:
        canvas[bottom : bottom + max(1, (bottom - top) // 3), left:right] *= 0.72
