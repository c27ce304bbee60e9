"""The follower of a run. `follower.py` starts it; to start it by hand, during a run or after it:

    python -m gbench.follow --run-dir results/RUN_ID --visdom http://localhost:8097 < /dev/null

Reads the run folder every second until its standard input ends, and then once more. Prints warnings, one per line.
Writes losses.svg into the run folder, and nothing that the run reads.
"""

import argparse
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from gbench.errors import GbenchError
from gbench.follow.losses_svg import LossPlot
from gbench.follow.scene import Scene, View
from gbench.runfolder.folder import RunFolder

LOOK_EVERY_S = 1.0
NICENESS = 10  # give way to the run


class Guarded:
    """Wraps a view so that it fails alone: a failure is reported once, and the view is dropped."""

    def __init__(self, name: str, make: Callable[[], View]) -> None:
        self._name, self._view = name, None
        self._do(lambda: setattr(self, "_view", make()))

    def show(self, scene: Scene) -> None:
        """Show new data, unless the view has failed."""
        if (view := self._view) is not None:
            self._do(lambda: view.show(scene))

    def close(self) -> None:
        """Close the view, unless it has failed."""
        if (view := self._view) is not None:
            self._do(view.close)

    def _do(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            self._view = None
            if not isinstance(error, (GbenchError, OSError)):
                traceback.print_exc()
            say(f"warning: {self._name} ends here ({error}); the run goes on without it")


def say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m gbench.follow", description="Shows a run while it goes on.")
    parser.add_argument("--run-dir", type=Path, required=True, help="run folder; losses.svg goes there")
    parser.add_argument("--visdom", metavar="URL", help="send losses and images there")
    parser.add_argument("--tensorboard", metavar="DIR", type=Path, help="write event files there")
    arguments = parser.parse_args()
    os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it, by closing its standard input
    scene = Scene(RunFolder(arguments.run_dir))
    views = [Guarded("losses.svg", lambda: LossPlot(scene))]
    if arguments.visdom:
        from gbench.follow.visdom import VisdomView

        views.append(Guarded("--visdom", lambda: VisdomView(arguments.visdom, scene, say)))
    if arguments.tensorboard:
        from gbench.follow.tensorboard import TensorBoardView

        views.append(Guarded("--tensorboard", lambda: TensorBoardView(arguments.tensorboard, scene)))
    while not scene.last:
        scene.look(last=bool(select.select([sys.stdin], [], [], LOOK_EVERY_S)[0]))
        for view in views if scene.history.steps and scene.steps_per_epoch else ():
            view.show(scene)
    for view in views:
        view.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
