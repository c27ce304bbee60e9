"""Read step streams while they are written, each line once."""

from array import array

import numpy as np
from numpy.typing import NDArray

from gbench.convergence.curves import Curves
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.json_lines import JsonLines
from gbench.runfolder.steps import read_step, stream_path


class History:
    """The losses of a run so far: means over the ranks of its first node, for the steps that all of them have done."""

    taken_back: int
    """How often steps were discarded because a resumed run repeats them."""

    def __init__(self, folder: RunFolder) -> None:
        ranks = range(folder.spec().devices_per_node)
        self._readers = [JsonLines(stream_path(folder.path, rank)) for rank in ranks]
        self._epochs = [array("q") for _ in ranks]  # one per step
        self._losses = [array("d") for _ in ranks]  # flat: len(self._names) values per step
        self._work = array("d")  # flat, of rank 0: images and seconds of each step
        self._names: tuple[str, ...] = ()
        self.taken_back = 0

    def read(self) -> None:
        """Read what was written since the last call. Raises ValueError: a line is not a valid step."""
        for rank, (reader, epochs, losses) in enumerate(zip(self._readers, self._epochs, self._losses, strict=True)):
            for values in reader.new_values():
                if "step" in values:
                    step = read_step(values)
                    self._names = self._names or tuple(step.losses)
                    epochs.append(step.epoch)
                    losses.extend(step.losses[name] for name in self._names)
                    self._work.extend((step.images, step.step_s) if rank == 0 else ())
                elif (after := values.get("resumed_after", 0)) < len(epochs):
                    self.taken_back += 1
                    del epochs[after:], losses[after * len(self._names) :]
                    if rank == 0:
                        del self._work[2 * after :]

    @property
    def steps(self) -> int:
        """Number of steps that all ranks have done."""
        return min(len(epochs) for epochs in self._epochs)

    @property
    def epoch(self) -> int:
        """The epoch of the last such step; 0 before the first."""
        return self._epochs[0][self.steps - 1] if self.steps else 0

    def work(self) -> NDArray[np.float64]:
        """Images and seconds of rank 0 in each step so far, (steps, 2)."""
        return np.array(self._work[: 2 * self.steps]).reshape(-1, 2)

    def curves(self) -> Curves:
        steps, count = self.steps, len(self._names)
        ranks = [np.array(losses[: steps * count]).reshape(steps, count) for losses in self._losses]
        means = np.mean(ranks, axis=0)
        epochs = np.array(self._epochs[0][:steps], dtype=np.int64)
        return Curves(epochs, {name: means[:, place] for place, name in enumerate(self._names)})
