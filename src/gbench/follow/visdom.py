"""Send losses and sample images to a visdom server, in upstream's windows, and the figures of whole epochs.

Source: junyanz/pytorch-CycleGAN-and-pix2pix at 003efc4c, util/visualizer.py, `plot_current_losses` and
`display_current_results`. Each run has its own environment, named by its run id.
"""

import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from gbench.convergence.curves import Floats
from gbench.errors import without_password
from gbench.follow.scene import Scene, View, printed
from gbench.runfolder.folder import VISUALS

TIMEOUT_S = 5.0  # for each response of the server
RETRY_S = 30.0  # delay after a response that did not arrive
POINTS = 2000  # maximum number of points in a line
LOSSES, IMAGES = "losses", "images"  # names of the windows


class VisdomView(View):
    """Sends new losses and images. If the server does not answer, warns once through `say` and retries later."""

    def __init__(self, url: str, scene: Scene, say: Callable[[str], None]) -> None:
        self._url, self._say, self._spec = url, say, scene.spec
        self._client: Any = None
        self._shown, self._whole, self._epoch = (0, 0), (0, 0), 0
        self._warned, self._retry_s = False, 0.0

    def show(self, scene: Scene) -> None:
        if time.monotonic() < self._retry_s and not scene.last:
            return
        try:
            if self._client is None:
                self._client = connect(self._url, self._spec.run_id)
                self._shown, self._whole, self._epoch = (0, 0), (0, 0), 0  # a restarted server may have lost everything
            self._losses(scene)
            self._epochs(scene)
            self._images(scene)
        except ConnectionError:
            self._client, self._retry_s = None, time.monotonic() + RETRY_S
            if not self._warned:
                where = without_password(self._url)
                self._say(f"warning: visdom at {where} does not answer; the run goes on, and it is tried again")
            self._warned = True

    def _losses(self, scene: Scene) -> None:
        """Send the losses of all printed lines, as upstream does: the window may be gone, or steps discarded."""
        now = (scene.history.steps // self._spec.config.schedule.print_every, scene.history.taken_back)
        if now == self._shown or not now[0]:
            return
        curves = scene.history.curves()
        numbers, losses = printed(curves, self._spec.config.schedule.print_every)
        epochs = curves.epochs[numbers - 1]
        x = epochs + (numbers - (epochs - 1) * scene.steps_per_epoch) / scene.steps_per_epoch
        self._lines(LOSSES, f"{self._spec.model} loss over time", x, losses, "loss")
        self._shown = now

    def _epochs(self, scene: Scene) -> None:
        """Send the figures of all whole epochs, a window for each plot."""
        now = (scene.whole_epochs, scene.history.taken_back)
        if now == self._whole or not now[0]:
            return
        for name, lines in scene.of_epochs().items():
            title = f"{self._spec.model} {name} of whole epochs"
            self._lines(f"epoch_{name}", title, np.arange(1.0, now[0] + 1), lines, name)
        self._whole = now

    def _lines(self, window: str, title: str, x: Floats, lines: Mapping[str, Floats], y: str) -> None:
        stride = -(-len(x) // POINTS)
        self._client.line(
            X=np.stack([x[::stride]] * len(lines), 1),
            Y=np.stack([values[::stride] for values in lines.values()], 1),
            win=window,
            opts={"title": title, "legend": list(lines), "xlabel": "epoch", "ylabel": y},
        )

    def _images(self, scene: Scene) -> None:
        newest = scene.images()
        if newest is None or newest[0] == self._epoch:
            return
        epoch, images = newest
        title = f"{self._spec.model} images, epoch {epoch}: {', '.join(VISUALS)}"
        shown = np.stack([image.transpose(2, 0, 1) for image in images])
        self._client.images(shown, nrow=len(VISUALS), win=IMAGES, padding=2, opts={"title": title})
        self._epoch = epoch


class _NoTorch(MetaPathFinder):
    """Refuses to import torch. None in sys.modules would, too, but scipy takes that for a module."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if fullname == "torch":
            raise ImportError("the follower needs no torch")


@cache
def load() -> Any:
    """Import the visdom package without torch, which it would load only to recognise tensors."""
    sys.meta_path.insert(0, _NoTorch())
    import visdom

    logging.getLogger("visdom").setLevel(logging.CRITICAL)
    return visdom


def connect(url: str, environment: str) -> Any:
    """Connect visdom's own client, with a timeout. Raises ConnectionError: no server answers."""

    class Client(load().Visdom):  # type: ignore[misc]  # visdom is untyped
        def _handle_post(self, url: str, data: Any = None) -> str:
            answer = self.session.post(url, data={} if data is None else data, timeout=TIMEOUT_S)
            answer.raise_for_status()
            return str(answer.text)

    parts = urlsplit(url)
    return Client(
        server=f"{parts.scheme}://{parts.hostname}",
        port=parts.port or (443 if parts.scheme == "https" else 80),
        base_url=parts.path.rstrip("/") or "/",
        env=environment,
        raise_exceptions=True,
        use_incoming_socket=False,
    )
