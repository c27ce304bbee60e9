"""Every reader of a file that others may have made, with valid files to begin from.

A reader gets any bytes at all. It may take them, or refuse them with a GbenchError; anything else is a fault.
"""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from gbench.base.paths import project_file
from gbench.base.untrusted import load_yaml
from gbench.cndb.database_config import find_config
from gbench.cndb.importing import read_results
from gbench.cndb.log_line import is_benchmark_line
from gbench.cndb.record_file import read_record
from gbench.cndb.upload import read_entry
from gbench.compare.baseline import Baselines
from gbench.convergence.reference import load_reference
from gbench.convergence.training_log import read_log
from gbench.datasets.archive import extract
from gbench.datasets.decode import decode_rgb, image_size
from gbench.datasets.manifest import read_manifest
from gbench.experiments.bisect import read_search
from gbench.experiments.session import read_session
from gbench.experiments.sweep_file import SweepFolder
from gbench.measure.telemetry.reader import read_stream
from gbench.measure.trace import load as load_trace
from gbench.runfolder.alarms import read_alarms
from gbench.runfolder.checkpoints import spec_in
from gbench.runfolder.error_file import read_error
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.step_profile import read_profile
from gbench.runfolder.tuning_result import read_tuning
from gbench.settings.model_file import load_model
from gbench.settings.spec_file import read_mapping

FIXTURES = project_file("tests/fixtures/run-folders-v1")
KEPT = project_file("tests/fuzz/corpus")
MODEL = "pix2pix_resnet_9blocks"


@dataclass(frozen=True)
class FuzzedReader:
    """A reader of one kind of file."""

    name: str
    """Its name in FOLDER."""
    read: Callable[[Path], object]
    """Reads that file; gets its path."""
    seeds: Callable[[], list[bytes]]
    """Valid files, and nearly valid ones."""


def of_runs(name: str) -> Callable[[], list[bytes]]:
    """The files of the kept run folders that have this name."""
    return lambda: [path.read_bytes() for path in sorted(FIXTURES.glob(f"results/*/{name}"))]


def texts(*texts: str) -> Callable[[], list[bytes]]:
    return lambda: [text.encode() for text in texts]


def records() -> list[bytes]:
    return [path.read_bytes() for path in sorted(FIXTURES.glob("records/*.yaml"))]


def baselines() -> list[bytes]:
    pin = {"by": "x", "at_utc": "2026-01-01T00:00:00Z", "reason": "", "runs": ["a"]}
    return [
        json.dumps({"version": 1, "pins": [pin], "records": [load_yaml(text.decode())]}).encode() for text in records()
    ]


def spool_entries() -> list[bytes]:
    values = {"version": 1, "database": "gpu-demo", "store_type": "save"}
    return [json.dumps({**values, "record": load_yaml(text.decode())}, default=str).encode() for text in records()]


def images() -> list[bytes]:
    image, files = Image.linear_gradient("L").resize((24, 12)), []
    for mode, kind in (("RGB", "PNG"), ("RGB", "JPEG"), ("P", "GIF"), ("L", "TIFF"), ("RGB", "BMP"), ("I;16", "PNG")):
        with io.BytesIO() as file:
            image.convert(mode).save(file, kind)
            files.append(file.getvalue())
    return files


def archives() -> list[bytes]:
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, content in (("facades/train/1.jpg", images()[1]), ("facades/notes.txt", b"x")):
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        return [file.getvalue()]


def checkpoints() -> list[bytes]:
    import torch

    spec = json.loads(of_runs("spec.json")()[0])
    with io.BytesIO() as file:
        torch.save({"spec": spec, "model": {"weight": torch.zeros(2)}}, file)
        whole = file.getvalue()
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("archive/data.pkl", b"\x80\x02}.")
        return [whole, file.getvalue()]


def traces() -> list[bytes]:
    events = [{"ph": "X", "name": "aten::add", "cat": "cpu_op", "ts": 1.0, "dur": 2.0, "tid": 1, "pid": 1, "args": {}}]
    return [gzip.compress(json.dumps({"traceEvents": events}).encode())]


def sessions() -> list[bytes]:
    spec = json.loads(of_runs("spec.json")()[0])
    run = {"side": "A", "run_id": "r", "run_dir": "/r", "record": "/r.yaml", "figure": 1.5, "wall_s": 2}
    values = {
        "version": 1,
        "session_id": "x",
        "started_utc": "2026-01-01T00:00:00Z",
        "command_line": "",
        "asked": {},
        "files": {"A": "a", "B": "b"},
        "specs": {"A": spec, "B": spec},
        "differences": [],
        "runs": [run],
    }
    return [json.dumps(values).encode()]


def searches() -> list[bytes]:
    spec = json.loads(of_runs("spec.json")()[0])
    commits = {"good": "0" * 40, "commits": ["1" * 40, "2" * 40]}
    values = {"version": 1, "command_line": "", "file": "a", "spec": spec, "repo": "/x", **commits}
    return [json.dumps(values).encode()]


def sweeps() -> list[bytes]:
    spec = json.loads(of_runs("spec.json")()[0])
    return [json.dumps({"version": 1, "scaling": "strong", "stop_at_oom": False, "spec": spec, "cells": []}).encode()]


def unpack(path: Path) -> None:
    target = path.parent / "unpacked"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    extract(path, target)


def run_file(read: Callable[[RunFolder], object]) -> Callable[[Path], object]:
    """A reader of a file in a run folder."""
    return lambda path: read(RunFolder(path.parent))


LOG_LINE = "network:m, batch size:32, device count:1, precision:FP32, throughput:1.5 img/s, device:V100, dataset:d\n"
LOSSES = "(epoch: 1, iters: 100, time: 0.1, data: 0.2) G_GAN: 1.0 G_L1: 2.0 D_real: 0.5 D_fake: 0.6 \n"
DATABASE = "schema: postgresql\nhost: 127.0.0.1\nport: 5432\nuser: u\npasswd: p\ndatabase: d\n"
SPEC = "model: pix2pix_resnet_9blocks\nbatch_size: 32\ndevice_count: 1\nprecision: FP32\nset: {network.ngf: 16}\n"
ALARM = '{"version": 1}\n{"kind": "nan", "epoch": 3, "step": 7, "text": "G_L1 is NaN"}\n'
ERROR = '{"version": 1, "kind": "usage", "what": "x", "hint": "y"}'

READERS = {
    "record": FuzzedReader("record.yaml", read_record, records),
    "log-line": FuzzedReader(
        "benchmark.log",
        lambda path: [*read_results(path, {}), *map(is_benchmark_line, path.read_text(errors="replace").splitlines())],
        texts(LOG_LINE, LOG_LINE * 2 + "x\n"),
    ),
    "spool-entry": FuzzedReader("entry.json", read_entry, spool_entries),
    "baseline": FuzzedReader("baselines/x.yaml", lambda path: Baselines(path.parents[1]).read("x"), baselines),
    "database-config": FuzzedReader(
        "db.yaml", lambda path: find_config(str(path), path.parent, {}), texts(DATABASE, "uri: postgresql://u:p@h/d\n")
    ),
    "spec-file": FuzzedReader("spec.yaml", read_mapping, texts(SPEC)),
    "model": FuzzedReader(
        f"{MODEL}.yaml",
        lambda path: load_model(MODEL, path.parent),
        lambda: [project_file(f"configs/{MODEL}.yaml").read_bytes()],
    ),
    "reference": FuzzedReader(
        "reference.yaml",
        load_reference,
        lambda: [path.read_bytes() for path in project_file("configs/reference").glob("*.yaml")],
    ),
    "training-log": FuzzedReader("loss_log.txt", read_log, texts(LOSSES * 3, f"----- lr: 0.0002\n{LOSSES}")),
    "manifest": FuzzedReader(
        "manifest.json",
        lambda path: read_manifest(path.parent),
        texts(
            '{"manifest_version": 1, "name": "facades", "source": "x", "counts": {"train": 1}, "files": '
            '{"train/1.jpg": {"sha256": "00", "size_bytes": 1}}, "dataset_sha256": "0"}'
        ),
    ),
    "session": FuzzedReader("ab.json", lambda path: read_session(path.parent), sessions),
    "search": FuzzedReader("bisect.json", lambda path: read_search(path.parent), searches),
    "sweep": FuzzedReader("sweep.json", lambda path: SweepFolder(path.parent).read(), sweeps),
    "spec": FuzzedReader("spec.json", run_file(RunFolder.spec), of_runs("spec.json")),
    "host": FuzzedReader("host.json", run_file(RunFolder.host), of_runs("host.json")),
    "environment": FuzzedReader("environment.json", run_file(RunFolder.environment), of_runs("environment.json")),
    "result": FuzzedReader("result.json", run_file(RunFolder.result), of_runs("result.json")),
    "steps": FuzzedReader(
        "steps-rank0.jsonl",
        run_file(lambda folder: (folder.steps(0), folder.attempts(0))),
        of_runs("steps-rank0.jsonl"),
    ),
    "telemetry": FuzzedReader("telemetry.jsonl", read_stream, of_runs("telemetry.jsonl")),
    "alarms": FuzzedReader("alarms.jsonl", lambda path: read_alarms(path.parent), texts(ALARM)),
    "error": FuzzedReader("error.json", run_file(read_error), texts(ERROR)),
    "profile": FuzzedReader("profile.json", run_file(read_profile), of_runs("profile.json")),
    "tuning": FuzzedReader("tuning.json", run_file(read_tuning), of_runs("tuning.json")),
    "trace": FuzzedReader("trace-rank0.json.gz", load_trace, traces),
    "checkpoint": FuzzedReader("latest_net_G.pth", spec_in, checkpoints),
    "archive": FuzzedReader("facades.tar.gz", unpack, archives),
    "image": FuzzedReader("1.png", lambda path: (image_size(path), decode_rgb(path)), images),
}


def corpus(name: str) -> list[bytes]:
    """What fuzzing begins from: the seeds of a reader, and the inputs kept from earlier fuzzing."""
    kept = sorted((KEPT / name).glob("*")) if (KEPT / name).is_dir() else []
    return READERS[name].seeds() + [path.read_bytes() for path in kept]


def write(name: str, data: bytes, folder: Path) -> Path:
    """Write the input of a reader; returns its path."""
    path = folder / READERS[name].name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
