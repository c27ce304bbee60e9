"""Start and stop the follower process of a run. No failure of it affects the run."""

import contextlib
import importlib.util
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gbench.base.files import without_waiting
from gbench.base.python import module_argv
from gbench.errors import InfrastructureError, UsageError
from gbench.runfolder.folder import RunFolder

END_S = 20.0  # timeout for its last read and last plot, with a server that does not answer
LOG = "follow.log"


@dataclass(frozen=True)
class Views:
    """The live views in addition to losses.svg. They don't affect the run, so they are not part of its spec."""

    visdom: str | None = None
    tensorboard: str | None = None
    """Folder for event files, with a subfolder per run; "": RUN_DIR/tensorboard."""

    def require(self) -> None:
        """Check that the packages they need are installed. Raises InfrastructureError."""
        for option, package in ((self.visdom, "visdom"), (self.tensorboard, "tensorboard")):
            if option is not None and importlib.util.find_spec(package) is None:
                raise InfrastructureError(
                    f"--{package} needs the package {package}, which is not installed",
                    f"pip install 'gbench[{package}]', or leave --{package} out",
                )

    def argv(self, run_dir: Path) -> list[str]:
        argv = [*module_argv("gbench.follow"), "--run-dir", str(run_dir)]
        if self.visdom is not None:
            argv += ["--visdom", self.visdom]
        if self.tensorboard is not None:
            events = Path(self.tensorboard).absolute() / run_dir.name if self.tensorboard else run_dir / "tensorboard"
            argv += ["--tensorboard", str(events)]
        return argv


def require_url(url: str) -> None:
    """Check the URL of a visdom server. Raises UsageError."""
    try:
        parts = urlsplit(url)
        fit = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is not a number
        fit = False
    if not fit:
        raise UsageError(
            f"--visdom {url!r} is not a URL",
            "write it like --visdom http://localhost:8097, or put a plain --visdom after the arguments",
        )


@contextmanager
def following(folder: RunFolder, views: Views, on_line: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """Run a follower while the context is open.

    Yields a function to call with the run's lines in place of `on_line`; it also relays the follower's own lines. A
    traceback of the follower goes to follow.log.
    """
    log = folder.path / LOG
    try:
        with open(log, "ab", opener=without_waiting) as errors:
            process = subprocess.Popen(
                views.argv(folder.path),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
    except OSError as error:
        on_line(f"warning: the run is not shown while it goes on ({error})")
        yield on_line
        return
    assert process.stdin
    output = process.stdout
    assert output
    os.set_blocking(output.fileno(), False)
    rest = b""

    def relay() -> None:
        """Pass on the lines that the follower has printed, without waiting for any."""
        nonlocal rest
        *lines, rest = (rest + (output.read() or b"")).split(b"\n")
        for line in lines:
            on_line(line.decode(errors="replace"))

    def relayed(text: str) -> None:
        relay()
        on_line(text)

    try:
        yield relayed
    finally:
        with contextlib.suppress(OSError):
            process.stdin.close()  # tells it that the run has ended
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            on_line("warning: what is shown of the run may lack its end: the follower did not come to its own")
        finally:
            process.kill()
            process.wait()
        relay()
        with contextlib.suppress(OSError):  # the disk may have failed under the run
            if log.stat().st_size:
                on_line(f"warning: what is shown of the run may not be all: see {log}")
            else:
                log.unlink()
