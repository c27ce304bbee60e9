"""The stand-in for the worker: it speaks the run folder's contract without PyTorch, and does what it is ordered.

gbench starts it as it starts the worker: by the project's run script, under the same supervisor. The process that forks
the ranks is the worker's own (gbench.pix2pix.start_ranks), without its PyTorch; a rank writes invented steps.

$SIM_DIR/orders.json:
    {"at": "measuring", "do": "hold", "rank": 0}
at: the step of the run, one of STEPS. do: one of ORDERS; a list does one after the other.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gbench
from gbench.errors import OutOfMemory

# the package itself would load PyTorch
package = sys.modules["gbench.pix2pix"] = types.ModuleType("gbench.pix2pix")
package.__path__ = [str(Path(gbench.__file__).parent / "pix2pix")]

from gbench.pix2pix import start_ranks  # noqa: E402
from gbench.pix2pix.end_watch import EndWatch  # noqa: E402
from gbench.pix2pix.hang_watch import HangWatch  # noqa: E402
from gbench.pix2pix.ranks.heartbeat import Heartbeat, Heartbeats  # noqa: E402
from gbench.runfolder.folder import VISUALS, RunFolder  # noqa: E402
from gbench.runfolder.worker_exit import report_failure  # noqa: E402
from gbench.runners.stopping import STOPS  # noqa: E402
from gbench.runners.supervise import GRACE_S, end_descendants  # noqa: E402

STEPS = ("start", "prepare", "warm-up", "measuring", "saving", "evaluation")
PRECISION = {
    "ran": "FP32",
    "output_dtype": "float32",
    "cuda_matmul_fp32_precision": "ieee",
    "cudnn_conv_fp32_precision": "ieee",
}


def read_orders(sim: Path) -> dict[str, Any]:
    path = sim / "orders.json"
    return json.loads(path.read_text()) if path.exists() else {}


class Rank:
    """One rank: invented steps, in step with the others, and its orders."""

    def __init__(self, run_dir: Path, rank: int, beats: Heartbeats, own: Heartbeat) -> None:
        self.folder, self.rank, self.own = RunFolder(run_dir), rank, own
        self.spec = self.folder.spec()
        self.beats, self.done = beats, 0
        self.sim = Path(os.environ["SIM_DIR"])
        self.orders = read_orders(self.sim)
        (self.sim / f"rank-{rank}").write_text(str(os.getpid()))
        self.hang_s = self.spec.config.measure.hang_seconds
        self.slow = 1.0
        self.lost = False
        self.steps = run_dir / f"steps-rank{rank}.jsonl"

    def run(self) -> None:
        self.done += 1
        self.own.beat(self.hang_s, self.done)
        if self.spec.evaluation is not None:
            self.evaluate()
        else:
            self.train()

    def at(self, step: str) -> None:
        """Follow the orders for a step of the run, then wait for the other ranks, as a collective does."""
        if self.orders.get("at") == step and self.rank == self.orders.get("rank", 0):
            self.wait_for_all(self.done + 1, but=self.rank)
            todo = self.orders["do"]
            for one in [todo] if isinstance(todo, str) else todo:
                ORDERS[one](self)
        self.done += 1
        self.own.beat(self.hang_s, self.done)
        self.wait_for_all(self.done)

    def wait_for_all(self, count: int, but: int | None = None) -> None:
        """Wait until each rank, or each but one, has come as far."""
        others = [rank for rank in range(self.spec.devices_per_node) if rank != but]
        while any(self.beats.last(rank).count < count for rank in others):
            time.sleep(0.001)

    def train(self) -> None:
        self.at("prepare")
        schedule = self.spec.config.schedule
        epochs = schedule.epochs + schedule.epochs_decay if self.spec.recipe == "convergence" else 1
        planned = schedule.max_steps or 12
        self.environment(planned)
        end_s = time.perf_counter()
        with self.steps.open("ab", buffering=0) as file:
            file.write(b'{"version": 1, "rank": %d}\n' % self.rank)
            for step in range(1, planned + 1):
                self.at({2: "warm-up", planned - 1: "measuring"}.get(step, ""))
                end_s += 0.01 * self.slow
                file.write(self.line(step, 1 + (step - 1) * epochs // planned, step <= schedule.warmup_steps, end_s))
        if schedule.checkpoint_every:
            self.at("saving")
            if self.rank == 0:
                self.folder.checkpoints.mkdir(exist_ok=True)
                (self.folder.checkpoints / f"epoch-{epochs:04d}.pt").write_bytes(b"weights")
        self.environment(planned, ended=True)

    def line(self, step: int, epoch: int, warmup: bool, end_s: float) -> bytes:
        losses = {"G_GAN": 0.7, "G_L1": 40 - 0.1 * step, "D_real": 0.6, "D_fake": 0.65}
        values = {
            "step": step,
            "epoch": epoch,
            "images": self.spec.batch_per_device,
            "data_s": 0.001,
            "step_s": 0.01 * self.slow,
            "end_s": end_s,
            "ahead_s": 0.0,
            "warmup": warmup,
            "losses": dict.fromkeys(losses) if self.lost else losses,
            "between_s": 0.0,
        }
        return (json.dumps(values) + "\n").encode()

    def environment(self, planned: int, ended: bool = False) -> None:
        """environment.json, which rank 0 writes."""
        if self.rank:
            return
        values: dict[str, Any] = {
            "version": 1,
            "planned_steps": planned,
            "device": "a stand-in (figures mean nothing)",
            "software": {"gbench_version": "0", "pytorch_version": "0"},
            "data": {"source": "real", "asked": "real"},
            "precision": PRECISION,
        }
        if ended:
            values |= {"precision_at_end": PRECISION, "ended": {"steps": planned, "because": "all steps are done"}}
        (self.folder.path / ".environment").write_text(json.dumps(values))
        (self.folder.path / ".environment").replace(self.folder.path / "environment.json")

    def evaluate(self) -> None:
        self.at("evaluation")
        evaluation, config = self.spec.evaluation, self.spec.config
        assert evaluation is not None
        if self.rank:
            return
        values = {
            "version": 1,
            "model": self.spec.model,
            "checkpoint": {"path": evaluation.checkpoint, "sha256": "0" * 64, "epoch": 2, "run_id": None},
            "dropout": True,
            "statistics": "batch",
            "seed": 0,
            "batch_size_per_device": 1,
            "device": "a stand-in",
            "device_count": self.spec.device_count,
            "precision": "FP32",
            "dataset": self.spec.dataset,
            "dataset_sha256": None,
            "network": config.network.model_dump(mode="json"),
            "data": config.data.model_dump(mode="json"),
            "software": {},
            "metrics": {name: {"mean": 1.0, "sd": 0.5} for name in ("MAE", "PSNR", "SSIM")},
            "set_metrics": {},
            "not_computed": {},
            "images": [{"name": "1", "source": "1.png", "metrics": {"MAE": 1.0, "PSNR": 1.0, "SSIM": 1.0}}],
        }
        self.folder.images.mkdir(exist_ok=True)
        for visual in VISUALS:
            (self.folder.images / f"1_{visual}.png").write_bytes(b"no picture")
        (self.folder.path / "evaluation.json").write_text(json.dumps(values))


def hold_in(sim: Path) -> None:
    """Say so, and wait until told to go on."""
    (sim / "at").write_text(str(os.getpid()))
    while not (sim / "go").exists():
        time.sleep(0.005)


def hold(rank: Rank) -> None:
    hold_in(rank.sim)


def hang(rank: Rank) -> None:
    while True:
        time.sleep(60)


def crash_within_a_line(rank: Rank) -> None:
    """End in the middle of a line of the steps."""
    with rank.steps.open("ab", buffering=0) as file:
        file.write(b'{"step": 3, "epo')
    os._exit(1)


def out_of_memory(rank: Rank) -> None:
    """As the worker reports what an allocator raises."""
    raise OutOfMemory("the host is out of memory with 4 images per device", "take a smaller batch or more devices")


def garbage(rank: Rank) -> None:
    os.write(1, bytes(range(256)) * 16 + b"\x1b]0;title\x07\n")
    os.write(2, b"\xff\xfe" * 4000 + b"\x1b[2J\n")


def lose(rank: Rank) -> None:
    rank.lost = True


def throttle(rank: Rank) -> None:
    rank.slow = 3.0


def ignore_sigterm(rank: Rank) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


ORDERS: dict[str, Callable[[Rank], None]] = {
    "hold": hold,
    "hang": hang,
    "crash within a line": crash_within_a_line,
    "run out of memory": out_of_memory,
    "print garbage": garbage,
    "go NaN": lose,
    "throttle": throttle,
    "ignore SIGTERM": ignore_sigterm,
}


def rank_main(run_dir: Path, rank: int, beats: Heartbeats, heartbeat: Heartbeat) -> int:
    """As `gbench.pix2pix.__main__.main`."""
    try:
        Rank(run_dir, rank, beats, heartbeat).run()
    except Exception as error:
        return report_failure(RunFolder(run_dir), error)
    return 0


def main(argv: list[str]) -> int:
    """As `start_ranks.main`, with the stand-in's ranks and without a store."""
    count, run_dir = (argv[argv.index(name) + 1] for name in ("--nproc-per-node", "--run-dir"))
    group, beats, folder = start_ranks.Group(int(count)), Heartbeats(int(count)), RunFolder(Path(run_dir))
    sim = Path(os.environ["SIM_DIR"])
    if read_orders(sim).get("at") == "start" and folder.spec().evaluation is None:
        hold_in(sim)
    reader, writer = os.pipe()
    os.write(writer, b"\0\1" * group.count)
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    ranks = {}
    for rank in range(group.count):
        body = partial(rank_main, folder.path, rank, beats)
        ranks[start_ranks.fork_rank(rank, group, reader, beats, body)] = rank
    try:
        for number in STOPS:
            signal.signal(number, start_ranks._stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        watch = EndWatch(folder, ranks)
        watch.start()
        HangWatch(folder, ranks, beats).start()
        return start_ranks.wait(ranks, watch.killed)
    finally:
        end_descendants(GRACE_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
