"""Communication of a run's processes, as far as it can be tested without a GPU."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.testing._internal.distributed import fake_pg  # noqa: F401 (registers the backend `fake`)

from gbench.errors import RunFailed
from gbench.pix2pix import Pix2Pix
from gbench.pix2pix.ranks.group import BACKENDS, KEPT_GROUPS, Ranks, joined, runs_on
from gbench.settings.model_config import SpeedConfig
from small_models import pairs, small_model


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A host of two V100s, of which this process is to take the second; what it does with NCCL is noted in `nccl`."""
    host: dict[str, Any] = {"capability": (7, 0), "code": ["sm_70", "sm_80", "sm_90", "compute_90"], "nccl": []}
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    cuda = {
        "device_count": lambda: 2,
        "set_device": lambda device: host.setdefault("taken", device),
        "get_device_capability": lambda device: host["capability"],
        "get_device_name": lambda device: "Tesla V100-SXM2-16GB",
        "get_arch_list": lambda: host["code"],
    }
    for name, function in cuda.items():
        monkeypatch.setattr(torch.cuda, name, function)
    monkeypatch.setattr("gbench.pix2pix.ranks.group.die_with_parent", lambda: None)
    monkeypatch.setattr(dist, "init_process_group", lambda *_, device_id, **__: host["nccl"].append(str(device_id)))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: host["nccl"].append("destroyed"))
    return host


def test_ranks_on_gpus_leave_nccl_together_at_a_good_end(gpus: dict[str, Any]) -> None:
    with joined("cuda", 2) as ranks:
        assert (ranks.device, gpus["taken"]) == (torch.device("cuda", 1),) * 2
    assert gpus["nccl"] == ["cuda:1", "destroyed"]


@pytest.mark.parametrize("failure", [RuntimeError("out of memory"), SystemExit(143)])
def test_a_rank_that_fails_alone_does_not_wait_in_nccl(gpus: dict[str, Any], failure: BaseException) -> None:
    with pytest.raises(type(failure)), joined("cuda", 2):
        raise failure
    assert gpus["nccl"] == ["cuda:1"]


def test_a_group_is_kept_when_its_rank_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its destructor hangs up to torch 2.7."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    variables = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": store.port}
    agent = {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
    for name, value in (variables | agent).items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr("gbench.pix2pix.ranks.group.die_with_parent", lambda: None)
    with joined("cpu", 1) as ranks:
        group = dist.group.WORLD
        other = ranks.new_group(timedelta(minutes=1))
    assert KEPT_GROUPS[-2:] == [group, other]
    assert not dist.is_initialized()


def test_objects_are_gathered_without_the_gpus() -> None:
    """`fake` replaces NCCL, which needs a GPU; it returns no objects."""
    backends = BACKENDS["cuda"].replace("nccl", "fake")
    assert "cuda:fake" in backends
    dist.init_process_group(backends, store=dist.HashStore(), rank=0, world_size=1)
    try:
        assert Ranks(0, 1, torch.device("cuda", 0)).gather({"pid": 4711}) == [{"pid": 4711}]
    finally:
        dist.destroy_process_group()


def test_bare_networks_train_as_wrapped_ones_of_one_rank() -> None:
    """Bit for bit: weights under the same keys, moments and losses."""
    bare, other = small_model(), small_model()
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        ranks = Ranks(0, 1, torch.device("cpu"))
        assert ranks.wrap(bare.generator, SpeedConfig()) is bare.generator
        wrapped = Pix2Pix(*(ranks.wrap_ddp(net, SpeedConfig()) for net in (other.generator, other.discriminator)))
        for number in range(3):
            losses = []
            for model in (bare, wrapped):
                torch.manual_seed(number)
                losses.append(model.train_step(*pairs(seed=number)))
            assert losses[0] == losses[1]
    finally:
        dist.destroy_process_group()
    torch.testing.assert_close(bare.state_dict(), wrapped.state_dict(), rtol=0, atol=0)


def test_a_gpu_without_code_in_torch_is_reported_first(gpus: dict[str, Any]) -> None:
    gpus["code"] = ["sm_75", "sm_80", "sm_86", "sm_90", "compute_120"]  # torch's own builds for CUDA 13
    said = r"no code for Tesla V100-SXM2-16GB, of compute capability 7\.0: .*sm_75"
    with pytest.raises(RunFailed, match=said), joined("cuda", 2):
        pytest.fail("joined")
    assert gpus["nccl"] == []


def test_what_cuda_says_where_it_does_not_start_is_one_sentence(
    gpus: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(device: torch.device) -> None:
        raise RuntimeError("Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized\nmore")

    monkeypatch.setattr(torch.cuda, "set_device", fail)
    with pytest.raises(RunFailed) as failed, joined("cuda", 2):
        pytest.fail("joined")
    assert str(failed.value) == (
        "--device cuda: CUDA does not start on GPU 1 (Unexpected error from cudaGetDeviceCount(). Error 802: system "
        "not yet initialized); look at `nvidia-smi` and `gbench check`"
    )


@pytest.mark.parametrize(
    ("capability", "code", "runs"),
    [
        ((8, 0), "sm_80", True),
        ((8, 9), "sm_86", True),
        ((8, 0), "sm_86", False),
        ((9, 0), "sm_80", False),
        ((9, 0), "sm_90a", True),
        ((12, 0), "compute_90", True),
        ((7, 0), "compute_90", False),
        ((10, 3), "sm_100", True),
    ],
)
def test_which_code_runs_where(capability: tuple[int, int], code: str, runs: bool) -> None:
    assert runs_on(capability, code) is runs
