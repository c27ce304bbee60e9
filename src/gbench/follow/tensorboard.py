"""Event files for TensorBoard: losses and sample images, written by tensorboard's own writer, without torch."""

import io
import time
from pathlib import Path
from typing import Any

from gbench.follow.scene import Pixels, Scene, View, printed
from gbench.runfolder.folder import VISUALS


class TensorBoardView(View):
    """Writes new values into a separate event file: losses as `loss/NAME` at the steps of the printed lines, and of
    each whole epoch, at its last step, mean losses, img/s and learning rate as `epoch/NAME`.

    A resumed run writes everything again, and makes TensorBoard discard the earlier files of the folder.
    """

    def __init__(self, folder: Path, scene: Scene) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer: Any = EventFileWriter(str(folder))
        self._every = scene.spec.config.schedule.print_every
        self._start_again(scene)

    def _start_again(self, scene: Scene) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        self._sent, self._whole, self._epoch, self._taken_back = 0, 0, 0, scene.history.taken_back
        self._writer.add_event(Event(wall_time=time.time(), step=0, session_log=SessionLog(status=SessionLog.START)))

    def show(self, scene: Scene) -> None:
        if scene.history.taken_back != self._taken_back:
            self._start_again(scene)
        if scene.history.steps // self._every > self._sent // self._every:
            numbers, losses = printed(scene.history.curves(), self._every, self._sent)
            for place, step in enumerate(numbers.tolist()):
                self._add(step, [{"tag": f"loss/{n}", "simple_value": float(v[place])} for n, v in losses.items()])
            self._sent = scene.history.steps
        if scene.whole_epochs > self._whole:
            plots = [plot.items() for plot in scene.of_epochs().values()]
            for place in range(self._whole, scene.whole_epochs):
                values = [{"tag": f"epoch/{n}", "simple_value": float(v[place])} for plot in plots for n, v in plot]
                self._add((place + 1) * scene.steps_per_epoch, values)
            self._whole = scene.whole_epochs
        newest = scene.images()
        if newest is not None and newest[0] != self._epoch:
            self._epoch = newest[0]
            images = [{"tag": name, "image": _png(pixels)} for name, pixels in zip(VISUALS, newest[1], strict=True)]
            self._add(self._epoch * scene.steps_per_epoch, images)
        self._writer.flush()

    def _add(self, step: int, values: list[dict[str, Any]]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary(value=[Summary.Value(**value) for value in values])
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))

    def close(self) -> None:
        self._writer.close()


def _png(pixels: Pixels) -> Any:
    from PIL import Image
    from tensorboard.compat.proto.summary_pb2 import Summary

    height, width, _ = pixels.shape
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=buffer.getvalue())
