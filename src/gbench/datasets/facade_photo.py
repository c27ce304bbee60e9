"""A photo-like picture of a planned facade, with what a camera adds: neighbours, sky, cars, light, stains, noise.

Uniform numbers, elementary arithmetic and Pillow's integer filters are all it uses: they give the same pixels anywhere.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from gbench.datasets.facade_looks import PROJECTING, SIGNS, WALLS, Colours, Looks, Pixels, pick
from gbench.datasets.facade_plan import Plan

ROOFS: Colours = ((128, 72, 56), (92, 84, 82), (110, 88, 74))


def draw_photo(plan: Plan, size: int, rng: np.random.Generator) -> Image.Image:
    """The photo of `plan`, `size` x `size` pixels, RGB."""
    canvas: Pixels = np.zeros((size, size, 3), np.float32)
    stains = 0.6 * _blotches(rng, size, max(2, size // 8)) + 0.4 * _blotches(rng, size, max(2, size // 32))
    looks = Looks(size, rng)
    _surroundings(canvas, plan, stains, rng)
    for part in plan.parts:
        left, top, right, bottom = part.pixels(size)
        looks.paint(part.kind, canvas[top:bottom, left:right])
        if part.kind in PROJECTING:
            canvas[bottom : bottom + max(1, (bottom - top) // 3), left:right] *= 0.72
    left, top, right, bottom = plan.wall.pixels(size)
    canvas[top:bottom, left:right] *= 1 + 0.07 * stains[top:bottom, left:right]
    for _ in range(int(rng.integers(0, 3))):
        _car(canvas, looks.glass, bottom, rng)
    if rng.random() < 0.3:
        _black_wedge(canvas, rng)
    return _exposed(canvas, rng)


def _blotches(rng: np.random.Generator, size: int, cell: int) -> Pixels:
    """Smooth noise in [-1, 1], (size, size, 1), its features about `cell` pixels wide."""
    cells = size // cell + 2
    coarse = Image.fromarray(rng.integers(0, 256, (cells, cells), np.uint8))
    smooth = coarse.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(smooth, np.float32)[:, :, None] / 127.5 - 1


def _surroundings(canvas: Pixels, plan: Plan, stains: Pixels, rng: np.random.Generator) -> None:
    """What the label map calls background: sky, the houses beside the facade, its roof, the street."""
    size = canvas.shape[0]
    left, top, right, bottom = plan.wall.pixels(size)
    sky = np.array([150, 180, 214] if rng.random() < 0.5 else [222, 226, 230], np.float32)
    canvas[:] = sky + np.linspace(0, 1, size, dtype=np.float32)[:, None, None] * (238 - sky)
    for start, end in ((0, left), (right, size)):
        if end > start:
            roofline = max(0, top + int(rng.integers(-size // 12, size // 6)))
            canvas[roofline:, start:end] = pick(rng, WALLS) * (1 + 0.06 * stains[roofline:, start:end])
            canvas[roofline : roofline + max(1, size // 60), start:end] *= 0.7
    if rng.random() < 0.75:
        _roof(canvas, left, right, top, rng)
    canvas[bottom:] = 116 * (1 + 0.1 * stains[bottom:])


def _roof(canvas: Pixels, left: int, right: int, top: int, rng: np.random.Generator) -> None:
    """Tiles up to the ridge, and chimneys."""
    size, colour = canvas.shape[0], pick(rng, ROOFS)
    ridge = top - min(top, int(size * rng.uniform(0.03, 0.1)))
    for row in range(ridge, top):
        inset = (top - row) // 2
        canvas[row, left + inset : right - inset] = colour * np.float32(0.86 if row % 3 == 0 else 1.0)
    for _ in range(int(rng.integers(0, 4))):
        x = int(rng.integers(left, max(left + 1, right - size // 24)))
        canvas[max(0, ridge - size // 40) : (ridge + top) // 2, x : x + size // 28] = colour * 0.8


def _car(canvas: Pixels, glass: Pixels, street: int, rng: np.random.Generator) -> None:
    """A parked car seen from the side: cabin, body, wheels."""
    size = canvas.shape[0]
    length, height = size // 6, max(4, size // 20)
    left, base = int(rng.integers(-length // 2, size)), min(size, street + height // 2)
    tyre = np.full(3, 24, np.float32)
    for top, bottom, start, end, paint in (
        (2 * height, height, length // 5, length - length // 4, glass),
        (height + height // 3, height // 4, 0, length, pick(rng, SIGNS)),
        (height // 2, 0, length // 8, length // 4, tyre),
        (height // 2, 0, length - length // 4, length - length // 8, tyre),
    ):
        canvas[base - top : base - bottom, max(0, left + start) : max(0, left + end)] = paint


def _black_wedge(canvas: Pixels, rng: np.random.Generator) -> None:
    """What rectifying a photo leaves at one side."""
    size = canvas.shape[0]
    wedge = max(2, int(size * rng.uniform(0.03, 0.1)))
    mirrored = canvas if rng.random() < 0.5 else canvas[:, ::-1]
    for column in range(wedge):
        mirrored[: size * (wedge - column) // wedge, column] = 0


def _exposed(canvas: Pixels, rng: np.random.Generator) -> Image.Image:
    """Light falling in from a side, exposure and white balance, a soft lens, sensor noise; in 8 bits."""
    size = canvas.shape[0]
    across = np.linspace(-1, 1, size, dtype=np.float32)
    light = 1 + np.float32(rng.uniform(-0.1, 0.1)) * across[None, :, None] - np.float32(0.06) * across[:, None, None]
    canvas *= light * np.float32(rng.uniform(0.6, 1.0)) * rng.uniform(0.96, 1.04, 3).astype(np.float32)
    picture = Image.fromarray(canvas.clip(0, 255).astype(np.uint8))
    soft = np.asarray(picture.filter(ImageFilter.GaussianBlur(size / 500)), np.float32)
    noise = rng.integers(-4, 5, (size, size, 1), np.int8) + rng.integers(-2, 3, (size, size, 3), np.int8)
    return Image.fromarray((soft + noise).clip(0, 255).astype(np.uint8))
