"""Launches on hosts that lack something others take for granted; as root, each in namespaces of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import SMALL

from gbench.datasets.synth import synth
from silent_server import config_of

pytestmark = pytest.mark.system
WITHOUT_HOME = (
    *("setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"),
    *("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search", "env", "-u", "HOME"),
)


def launch(folder: Path, first: tuple[str, ...], more: tuple[str, ...] = (), **settings: object) -> tuple[int, str]:
    """Exit code and output of a small launch in `folder`, started by a command. settings: keys with __ for a dot."""
    synth(folder / "set", {"train": 4}, size=64)
    values = {**SMALL, **{key.replace("__", "."): value for key, value in settings.items()}}
    done = subprocess.run(
        [
            *first,
            *(
                sys.executable,
                "-m",
                "gbench",
                "launch",
                "pix2pix_resnet_9blocks",
                "4",
                "1",
                "FP32",
                "false",
                "ignore_check",
            ),
            *(
                "--device",
                "cpu",
                "--runner",
                "local",
                "--steps",
                "2",
                "--warmup",
                "1",
                "--datasets-dir",
                str(folder / "set"),
            ),
            *(argument for key, value in values.items() for argument in ("--set", f"{key}={value}")),
            *more,
        ],
        cwd=folder,
        env={**os.environ, "GBENCH_DEFAULTS": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout


def test_a_host_name_that_no_name_service_knows(tmp_path: Path) -> None:
    script = tmp_path / "torchrun.sh"
    script.write_text('eval "exec $TORCHRUN"\n')
    named = ("unshare", "--uts", "sh", "-c", 'hostname node-without-dns-17 && exec "$@"', "sh")
    code, said = launch(tmp_path, named, ("--run-model-file", str(script)))
    assert code == 0, said


SILENT_DNS = """
import runpy, socket, sys
silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
silent.bind(("127.0.0.1", 53))
sys.argv = ["gbench", *sys.argv[1:]]
runpy.run_module("gbench", run_name="__main__")
"""


def test_a_name_service_that_never_answers(tmp_path: Path) -> None:
    """Its own limit would be 5 minutes: 30 s, ten times."""
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:10\n")
    config_of(5432, tmp_path, host="db.example.org")
    mount = 'ip link set lo up && mount --bind resolv.conf /etc/resolv.conf && exec "$@"'
    command = ["unshare", "--net", "--mount", "sh", "-c", mount, "sh", sys.executable, "-c", SILENT_DNS]
    asked = ["cndb", "list", "--db", "silent.yaml", "--db-timeout", "1"]
    done = subprocess.run([*command, *asked], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("gbench: error: database d on db.example.org:5432: no answer within 1 s; check that ")
    assert done.stderr.count("\n") == 1


def test_too_little_shared_memory(tmp_path: Path) -> None:
    mounted = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=128k tmpfs /dev/shm && exec "$@"', "sh")
    code, said = launch(tmp_path, mounted, data__workers=1, data__load_size=64, data__crop_size=64)
    assert code == 4, said
    assert "the data loader failed: it ran out of shared memory; " in said.splitlines()[-1]


def test_a_user_without_a_home_folder(tmp_path: Path) -> None:
    for folder in tmp_path.parents[:2]:
        folder.chmod(0o711)
    tmp_path.chmod(0o777)
    code, said = launch(tmp_path, WITHOUT_HOME, ("--data", "cached"))
    assert code == 0, said
    assert "--data cached is unavailable: there is no place for a cache: this user has no home folder; set HOME" in said
