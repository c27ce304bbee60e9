"""What stands where on a drawn facade: a small grammar of floors and columns in the classes of the CMP label maps.

Everything is in units of the image's side, so that one seed gives one facade at any size.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from gbench.datasets.palette import PALETTE

Edges = NDArray[np.float64]  # where the columns of windows begin and end


class Part(NamedTuple):
    """A rectangle of one class; (left, top) to (right, bottom), y pointing down."""

    kind: str
    left: float
    top: float
    right: float
    bottom: float

    def pixels(self, size: int) -> tuple[int, int, int, int]:
        """Left, top, right, bottom in whole pixels, at least one wide and high, inside the image."""
        left, top = (min(max(round(value * size), 0), size - 1) for value in (self.left, self.top))
        right = min(max(round(self.right * size), left + 1), size)
        bottom = min(max(round(self.bottom * size), top + 1), size)
        return left, top, right, bottom


@dataclass(frozen=True)
class Plan:
    """A facade. parts: in painting order, later ones in front; the first is the wall."""

    parts: tuple[Part, ...]

    @property
    def wall(self) -> Part:
        """The facade's outline."""
        return self.parts[0]

    def label_map(self, size: int) -> Image.Image:
        """The plan in the colours of the palette, `size` x `size` pixels, RGB."""
        image = Image.new("RGB", (size, size), PALETTE["background"])
        canvas = ImageDraw.Draw(image)
        for part in self.parts:
            left, top, right, bottom = part.pixels(size)
            canvas.rectangle((left, top, right - 1, bottom - 1), fill=PALETTE[part.kind])
        return image


class _Style(NamedTuple):
    """What all floors of one facade share. window_*: shares of the column's and the floor's size."""

    window_width: float
    window_height: float
    cornices: float  # chance that a floor's windows have cornices; likewise the next ones
    sills: float
    balconies: float
    decos: float
    shutters: bool
    pillars: bool


def draw_plan(rng: np.random.Generator) -> Plan:
    """One facade, decided by the generator's state alone."""
    chance = rng.random
    whole_width = chance() < 0.2
    left, right = (0.0, 1.0) if whole_width else (rng.uniform(0.02, 0.2), 1 - rng.uniform(0.02, 0.2))
    top, bottom = rng.uniform(0.08, 0.28), rng.uniform(0.91, 0.985)
    floors = int(rng.integers(2, 6))
    style = _Style(
        window_width=rng.uniform(0.36, 0.58),
        window_height=rng.uniform(0.48, 0.6),
        cornices=rng.choice([0.0, 0.6, 0.95]),
        sills=rng.choice([0.1, 0.6, 0.95]),
        balconies=rng.choice([0.0, 0.25, 0.5]),
        decos=rng.choice([0.0, 0.3, 0.6]),
        shutters=chance() < 0.25,
        pillars=chance() < 0.25,
    )
    eaves = top + rng.uniform(0.025, 0.055)
    storey = (bottom - eaves) / (floors + 1.3)  # the ground floor is 1.3 of them high
    ground_top = bottom - 1.3 * storey
    margin = (right - left) * rng.uniform(0.01, 0.05)
    columns = min(max(round((right - left) / (storey * rng.uniform(0.55, 1.0))), 3), 9)
    edges = np.linspace(left + margin, right - margin, columns + 1)

    parts = [Part("wall", left, top, right, bottom)]
    if not whole_width:
        parts += _neighbours(rng, left, right, top, bottom)
    if chance() < 0.85:
        parts.append(Part("molding", left, top, right, eaves))
    if style.pillars:
        width = (edges[1] - edges[0]) * rng.uniform(0.1, 0.18)
        parts += [Part("pillar", x - width / 2, eaves, x + width / 2, ground_top) for x in edges]
    heights = np.linspace(eaves, ground_top, floors + 1)
    band = chance() < 0.3
    for upper, lower in pairwise(heights.tolist()):
        if band and lower < ground_top:
            parts.append(Part("molding", left, lower - 0.012, right, lower + 0.008))
        parts += _floor(rng, style, edges, upper, lower)
    if chance() < 0.7:
        parts.append(Part("molding", left, ground_top - 0.005, right, ground_top + rng.uniform(0.015, 0.03)))
    parts += _ground_floor(rng, style, edges, float(ground_top) + 0.03, bottom)
    return Plan(tuple(parts))


def _neighbours(rng: np.random.Generator, left: float, right: float, top: float, bottom: float) -> list[Part]:
    """Windows of the houses beside the facade, as far as the picture shows them."""
    parts = []
    for start, end in ((0.0, left), (right, 1.0)):
        if end - start < 0.09 or rng.random() < 0.3:
            continue
        rows, width = int(rng.integers(3, 6)), (end - start) * 0.45
        middle, pitch = (start + end) / 2, (bottom - top) * 0.8 / rows
        for row in range(rows):
            y = top + (bottom - top) * 0.12 + row * pitch
            parts.append(Part("window", middle - width / 2, y, middle + width / 2, y + pitch * 0.55))
    return parts


def _floor(rng: np.random.Generator, style: _Style, edges: Edges, upper: float, lower: float) -> list[Part]:
    """An upper floor: a window a column, and what this floor has around its windows."""
    height, pitch = lower - upper, float(edges[1] - edges[0])
    half = min(pitch * style.window_width, height * style.window_height * 0.8) / 2
    top = upper + height * rng.uniform(0.2, 0.26)
    bottom = top + height * style.window_height
    cornices, sills, decos = (rng.random() < p for p in (style.cornices, style.sills, style.decos))
    period = int(rng.integers(1, 4)) if rng.random() < style.balconies else 0  # a balcony every so many columns
    shutter = min(half * 0.7, pitch / 2 - half)
    parts = []
    for column, middle in enumerate((edges[:-1] + edges[1:]) / 2):
        x = float(middle)
        parts.append(Part("window", x - half, top, x + half, bottom))
        if style.shutters:
            parts.append(Part("blind", x - half - shutter, top, x - half, bottom))
            parts.append(Part("blind", x + half, top, x + half + shutter, bottom))
        if cornices:
            parts.append(Part("cornice", x - half * 1.35, top - height * 0.16, x + half * 1.35, top))
        if sills:
            parts.append(Part("sill", x - half * 1.25, bottom, x + half * 1.25, bottom + max(height * 0.06, 0.008)))
        if decos:
            parts.append(Part("deco", x - half, bottom + height * 0.07, x + half, lower))
        if period and column % period == period // 2:
            reach = half * 1.5
            parts.append(Part("balcony", x - reach, bottom - height * 0.24, x + reach, bottom + height * 0.08))
    return parts


def _ground_floor(rng: np.random.Generator, style: _Style, edges: Edges, top: float, bottom: float) -> list[Part]:
    """Shops or windows, and the door among them."""
    height, pitch = bottom - top, float(edges[1] - edges[0])
    shops = rng.random() < 0.55
    door = int(rng.integers(0, len(edges) - 1))
    parts = []
    for column, middle in enumerate((edges[:-1] + edges[1:]) / 2):
        x = float(middle)
        half = pitch * 0.42 if shops else min(pitch * style.window_width, height * 0.4) / 2
        if column == door:
            half = min(pitch * 0.3, 0.05)
            parts.append(Part("door", x - half, top + height * 0.18, x + half, bottom))
        elif shops:
            parts.append(Part("shop", x - half, top + height * 0.08, x + half, bottom - height * 0.06))
        else:
            parts.append(Part("window", x - half, top + height * 0.2, x + half, top + height * 0.66))
            parts.append(Part("sill", x - half * 1.2, top + height * 0.66, x + half * 1.2, top + height * 0.72))
    return parts
