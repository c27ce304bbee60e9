"""How each class of the label map looks in a drawn photo, so that a network can learn one from the other."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]  # (height, width, 3), levels 0 to 255
Colours = tuple[tuple[int, int, int], ...]

# Plaster, sandstone and brick as photographed.
WALLS: Colours = (
    (214, 196, 158), (203, 170, 112), (188, 178, 165), (222, 214, 200), (196, 142, 122), (171, 158, 140),
    (208, 188, 140), (158, 108, 88), (176, 182, 178), (222, 200, 170), (150, 146, 138), (190, 160, 130),
)  # fmt: skip
SHUTTERS: Colours = ((70, 96, 72), (108, 74, 52), (92, 104, 112), (196, 190, 170))
DOORS: Colours = ((84, 56, 36), (58, 62, 58), (44, 66, 60), (110, 80, 52))
SIGNS: Colours = ((150, 30, 34), (30, 60, 120), (24, 92, 64), (196, 160, 40), (44, 44, 48), (200, 196, 186))

PROJECTING = frozenset({"cornice", "sill", "balcony", "molding"})  # what throws a shadow on the wall below


def pick(rng: np.random.Generator, colours: Colours) -> Pixels:
    """One of `colours`, a shade off."""
    colour = np.array(colours[int(rng.integers(len(colours)))], np.float32)
    return colour + rng.uniform(-10, 10, 3).astype(np.float32)


class Looks:
    """The colours and habits of one facade, and a painter for each class.

    Args:
        size: side of the whole picture in pixels, which sets the scale of details.
        rng: drawn from at once, and again by each painter whose work varies.
    """

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self.size, self.rng = size, rng
        self.wall_colour = pick(rng, WALLS)
        # Stone around windows is lighter than the wall, and keeps something of its hue.
        self.trim = self.wall_colour * np.float32(0.45) + np.float32(rng.uniform(118, 140))
        self.shutter, self.door_colour = pick(rng, SHUTTERS), pick(rng, DOORS)
        self.glass = np.array([46, 54, 62], np.float32) + np.float32(rng.uniform(-12, 26))
        self.frame = np.array([226, 224, 216], np.float32) if rng.random() < 0.7 else self.door_colour
        self.iron_railings = rng.random() < 0.6
        self.gables = rng.random() < 0.4
        self.joints = rng.random() < 0.35
        self._painters: dict[str, Callable[[Pixels], None]] = {
            "wall": self._wall,
            "window": self._window,
            "door": self._door,
            "cornice": self._cornice,
            "sill": self._sill,
            "balcony": self._balcony,
            "blind": self._blind,
            "deco": self._deco,
            "molding": self._molding,
            "pillar": self._pillar,
            "shop": self._shop,
        }

    def paint(self, kind: str, box: Pixels) -> None:
        """Paint a part of class `kind` into its rectangle, a view of the canvas."""
        self._painters[kind](box)

    def _wall(self, box: Pixels) -> None:
        """Plaster; on some facades the joints between stones show."""
        box[:] = self.wall_colour
        if self.joints:
            course = max(4, self.size // 36)
            box[::course] *= 0.88
            for row, top in enumerate(range(0, box.shape[0], course)):
                box[top : top + course, (row % 2) * course :: 2 * course] *= 0.92

    def _window(self, box: Pixels) -> None:
        """A frame with panes that mirror the sky above and show a dark room below; some curtains."""
        height, width, _ = box.shape
        bar = max(1, width // 12)
        box[:] = self.frame
        shine, curtain = np.float32(self.rng.uniform(20, 80)), self.rng.random() < 0.35
        for upper, lower in _split(height, 3 if height > 2 * width else 2, bar):
            fall = np.linspace(1, 0, lower - upper, dtype=np.float32)[:, None, None]
            for start, end in _split(width, 2, bar):
                box[upper:lower, start:end] = self.glass + fall * shine
        if curtain:
            drop = int(height * self.rng.uniform(0.3, 0.9))
            box[bar:drop, bar:-bar] = box[bar:drop, bar:-bar] * 0.45 + 105
        _edge(box, top=0.55, left=0.7)  # the reveal's shadow

    def _door(self, box: Pixels) -> None:
        """Two wings with panels, and a fanlight above."""
        height, width, _ = box.shape
        fanlight, bar = height // 5, max(1, width // 9)
        box[:] = self.door_colour
        box[:fanlight] = self.glass + 25
        for upper, lower in _split(height - fanlight, 3, bar):
            for start, end in _split(width, 2, bar):
                _sink(box[fanlight + upper : fanlight + lower, start:end], 0.8)
        box[fanlight : fanlight + 1] = self.frame
        _edge(box, top=0.5, left=0.6)

    def _cornice(self, box: Pixels) -> None:
        """A ledge above a window; on some facades a gable."""
        height, width, _ = box.shape
        if not self.gables or height <= 3:
            self._molding(box)
            return
        outline = np.abs(np.arange(width) - (width - 1) / 2)[None, :] / (width / 2) * height
        rows = np.arange(height)[:, None]
        box[rows >= outline] = self.trim * 0.92
        box[(rows >= outline) & (rows < outline + 1.5)] = self.trim * 1.08
        box[-max(1, height // 4) :] = self.trim

    def _sill(self, box: Pixels) -> None:
        """A light stone slab."""
        box[:] = self.trim * 1.04
        box[-1:] *= 0.8

    def _balcony(self, box: Pixels) -> None:
        """A slab with an iron railing that shows what is behind, or a stone parapet."""
        height = box.shape[0]
        rail, pitch = max(1, height // 12), max(2, self.size // 64)
        if self.iron_railings:
            box *= 0.8
            box[:, ::pitch] = 42
            box[:rail] = 36
            box[height // 3 : height // 3 + 1] = 50
        else:
            box[:] = self.trim * 0.95
            box[2 * rail : -2 * rail, pitch // 2 :: pitch] *= 0.6
        box[-max(1, height // 6) :] = self.trim * 0.85

    def _blind(self, box: Pixels) -> None:
        """A shutter's slats."""
        box[:] = self.shutter
        box[::2] *= 0.78
        _edge(box, top=0.9, left=1.15)

    def _deco(self, box: Pixels) -> None:
        """A sunk panel with a raised oval ornament."""
        height, width, _ = box.shape
        y = np.linspace(-1, 1, height)[:, None]
        x = np.linspace(-1, 1, width)[None, :]
        radius = x * x + y * y
        box[:] = self.wall_colour * 0.82
        box[(radius < 0.75) & (x + y < 0)] = self.trim * 1.06
        box[(radius < 0.75) & (x + y >= 0)] = self.trim * 0.7
        box[radius < 0.3] = self.trim * 0.95
        _sink(box, 1.0)

    def _molding(self, box: Pixels) -> None:
        """A projecting band: lit upper edge, a groove, teeth below where there is room."""
        height, width, _ = box.shape
        box[:] = self.trim * np.linspace(1.08, 0.88, height, dtype=np.float32)[:, None, None]
        box[height // 3 : height // 3 + 1] *= 0.8
        if height >= 8:
            tooth = max(2, self.size // 64)
            lower = box[height // 2 : -2]
            lower[:] = self.trim
            for start in range(0, width, 2 * tooth):
                lower[:, start : start + tooth] *= 0.72

    def _pillar(self, box: Pixels) -> None:
        """A round shaft lit from the left, between base and capital."""
        height, width, _ = box.shape
        across = np.linspace(-0.6, 1, width, dtype=np.float32)[None, :, None]
        end = max(1, height // 24)
        box[:] = self.trim * (1.1 - 0.38 * across * across)
        box[:end] = box[-end:] = self.trim * 1.05
        box[end : end + 1] *= 0.75

    def _shop(self, box: Pixels) -> None:
        """A sign with lettering over a shop window with lit wares."""
        rng, (height, width, _) = self.rng, box.shape
        sign = max(2, height // 4)
        ground = pick(rng, SIGNS)
        ink = np.float32(235 if float(ground.mean()) < 130 else 40)
        box[:sign] = ground
        for x in range(width // 6, width - width // 6, max(2, self.size // 90)):
            if rng.random() < 0.6:
                box[sign // 3 : max(sign // 3 + 1, sign - sign // 3), x : x + 1] = ink
        pane = box[sign:]
        pane[:] = self.glass * 0.8
        for _ in range(8):
            y, x = int(rng.integers(0, max(1, height - sign))), int(rng.integers(0, width))
            wares = np.array([190, 150, 90], np.float32) * np.float32(rng.uniform(0.3, 1.1))
            pane[y : y + max(1, height // 8), x : x + max(1, width // 8)] = wares
        pane[:, :: max(4, width // 3)] = self.door_colour
        pane[-max(1, height // 8) :] = self.door_colour * 0.8


def _split(length: int, pieces: int, bar: int) -> list[tuple[int, int]]:
    """Where `pieces` panes lie along `length`, with bars of `bar` pixels around each."""
    edges = [(length - bar) * piece // pieces for piece in range(pieces + 1)]
    return [(start + bar, end) for start, end in pairwise(edges) if end > start + bar]


def _edge(box: Pixels, top: float, left: float) -> None:
    """Shade the first row and column."""
    box[:1] *= top
    box[:, :1] *= left


def _sink(box: Pixels, level: float) -> None:
    """Let the box lie deeper: all of it at `level`, shadow along the upper left, light along the lower right."""
    box *= level
    _edge(box, top=0.75, left=0.75)
    box[-1:] *= 1.2
    box[:, -1:] *= 1.2
