"""Loaders that decode nothing during the run: `data.source` cached, resident and synthetic.

The first two give PairLoader's tensors bit for bit; the batches of all three are on the device.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import cycle

import numpy as np
import torch
from torch import Tensor

from gbench.pix2pix.data.pair_loader import Loader, Share
from gbench.pix2pix.data.pairs import AlignedDataset, Batch, Key
from gbench.pix2pix.data.transforms import Draw, Levels, Normalized, crops


class _LevelsLoader(Loader):
    """Base of the cached and the resident loader. levels: of all pairs, as `map_pairs` returns them."""

    def __init__(self, dataset: AlignedDataset, share: Share, levels: Levels, device: torch.device) -> None:
        super().__init__(dataset, share)
        self.device = device
        self._normalized = Normalized(device)
        self.height, self.width = levels.shape[-2:]
        side = dataset.config.crop_size
        self.sides = (side, side) if crops(dataset.config) else (self.height, self.width)

    def _draw(self, key: Key) -> Draw:
        return self.dataset.draw(key, (self.width, self.height))

    def _batch(self, keys: Sequence[Key], levels: Tensor) -> Batch:
        """levels: uint8 (pairs, 2, 3, height, width) on the device, cropped and flipped."""
        a, b = self._normalized(levels.transpose(0, 1)).unbind(0)
        paths = [str(self.dataset.paths[index]) for _, index in keys]
        return Batch(a, b, paths) if self.dataset.config.direction == "AtoB" else Batch(b, a, paths)


class CachedLoader(_LevelsLoader):
    """Crops and flips on the host, in a thread, one batch ahead; normalises on the device."""

    def __init__(self, dataset: AlignedDataset, share: Share, levels: Levels, device: torch.device) -> None:
        super().__init__(dataset, share, levels, device)
        self._levels = levels
        shape = (share.batch_size, *levels.shape[1:3], *self.sides)
        self._stages = [Stage(shape, device) for _ in range(2)]  # one is filled while the other is in use

    def __iter__(self) -> Iterator[Batch]:
        stages, batches = cycle(self._stages), self.keys()
        ahead: deque[tuple[list[Key], Stage, Future[None]]] = deque()

        def begin_next() -> None:
            keys = next(batches, None)
            if keys is not None:
                stage = next(stages)
                ahead.append((keys, stage, thread.submit(self._fill, stage, keys)))

        # without it, threads of every rank would take memory of GPU 0
        set_device = partial(torch.cuda.set_device, self.device) if self.device.type == "cuda" else None
        with ThreadPoolExecutor(1, "gbench-data", set_device) as thread:
            begin_next()
            while ahead:
                keys, stage, filled = ahead.popleft()
                filled.result()
                begin_next()
                yield self._batch(keys, stage.arrived(len(keys)))

    def _fill(self, stage: Stage, keys: Sequence[Key]) -> None:
        for key, out in zip(keys, stage.free()):  # noqa: B905 -- the last batch may be a part
            crop_and_flip(self._levels[key[1]], self._draw(key), out)
        stage.send(len(keys))


def crop_and_flip(levels: Levels, drawn: Draw, out: Levels) -> None:
    """Write a crop of `levels`, uint8 (2, 3, height, width), into `out`, (2, 3, crop height, crop width)."""
    (height, width), left, top = out.shape[-2:], drawn.left, drawn.top
    np.copyto(out, levels[..., top : top + height, left : left + width])
    if drawn.flip:  # reverses words, then the bytes within them: three times as fast as byte by byte
        words = out.view(f"u{next(size for size in (8, 4, 2, 1) if width % size == 0)}")
        words[:] = words[..., ::-1].copy()
        words.byteswap(inplace=True)


class Stage:
    """A host buffer for one batch of levels, and its copy to a GPU in a stream of its own; a CPU needs no copy."""

    def __init__(self, shape: tuple[int, ...], device: torch.device) -> None:
        self._device, self._on_gpu = device, device.type == "cuda"
        self._host = torch.empty(shape, dtype=torch.uint8, pin_memory=self._on_gpu)
        self._there = self._host
        if self._on_gpu:
            self._stream, self._copied = torch.cuda.Stream(device), torch.cuda.Event(blocking=True)

    def free(self) -> Levels:
        """The buffer, once its previous batch is copied."""
        if self._on_gpu:
            self._copied.synchronize()
        levels: Levels = self._host.numpy()
        return levels

    def send(self, samples: int) -> None:
        """Start to copy the first `samples` pairs to the device."""
        if self._on_gpu:
            with torch.cuda.stream(self._stream):
                self._there = self._host[:samples].to(self._device, non_blocking=True)
                self._copied.record(self._stream)

    def arrived(self, samples: int) -> Tensor:
        """The copy on the device; the current stream waits for it, the host doesn't."""
        if self._on_gpu:
            here = torch.cuda.current_stream(self._device)
            here.wait_event(self._copied)
            self._there.record_stream(here)  # its memory belongs to the other stream
        return self._there[:samples]


class ResidentLoader(_LevelsLoader):
    """Keeps all pairs on the device and crops, flips and normalises them there: the host touches no pixel."""

    def __init__(self, dataset: AlignedDataset, share: Share, levels: Levels, device: torch.device) -> None:
        super().__init__(dataset, share, levels, device)
        # One row per row of pixels of one colour: a crop selects its rows, then their columns.
        self._rows = torch.from_numpy(np.ascontiguousarray(levels)).to(device).view(-1, self.width)
        self._planes = torch.arange(levels.shape[1] * levels.shape[2], device=device)
        self._down, self._across = (torch.arange(side, device=device) for side in self.sides)

    def __iter__(self) -> Iterator[Batch]:
        batches = list(self.keys())
        numbers = [(index, *self._draw((epoch, index))) for keys in batches for epoch, index in keys]
        # page-locked: from other memory the driver may wait for all steps queued on the GPU
        drawn = torch.tensor(numbers, dtype=torch.int64, pin_memory=self.device.type == "cuda").view(len(numbers), 4)
        drawn = drawn.to(self.device, non_blocking=True)
        for keys, numbers_of_batch in zip(batches, drawn.split([len(keys) for keys in batches]), strict=True):
            yield self._batch(keys, self._cropped(*numbers_of_batch.unbind(1)))

    def _cropped(self, index: Tensor, left: Tensor, top: Tensor, flip: Tensor) -> Tensor:
        """uint8 (pairs, 2, 3, height, width). index, left, top, flip: int64, one per pair."""
        (height, width), samples, planes = self.sides, len(index), len(self._planes)
        first = (index[:, None] * planes + self._planes) * self.height + top[:, None]
        rows = first[:, :, None] + self._down
        bands = self._rows.index_select(0, rows.view(-1)).view(samples, planes * height, self.width)
        across = torch.where(flip[:, None] == 1, width - 1 - self._across, self._across)
        columns = (left[:, None] + across)[:, None].expand(samples, planes * height, width)
        return bands.gather(2, columns).view(samples, 2, -1, height, width)


class SyntheticLoader(Loader):
    """Repeats one batch of noise of the first pair's size on the device, so that data costs no time."""

    def __init__(self, dataset: AlignedDataset, share: Share, device: torch.device) -> None:
        super().__init__(dataset, share)
        shape = (2, share.batch_size, *dataset[0, 0].real_A.shape)
        noise = torch.Generator().manual_seed(dataset.seed)
        levels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=noise)
        self._pair = Normalized(device)(levels.to(device))

    def __iter__(self) -> Iterator[Batch]:
        for keys in self.keys():
            a, b = self._pair[:, : len(keys)]
            yield Batch(a, b, ["synthetic"] * len(keys))
