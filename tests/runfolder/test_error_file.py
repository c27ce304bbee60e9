"""Why a rank failed: written to error.json, raised again by the host; out of memory is a separate kind."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch

from gbench.errors import GbenchError, InfrastructureError, Interrupted, OutOfMemory, RunFailed, UsageError
from gbench.pix2pix.ranks.out_of_memory import convert_memory_errors, out_of_memory
from gbench.runfolder.error_file import forget_error, read_error, write_error
from gbench.runfolder.folder import RunFolder
from gbench.settings.spec import RunSpec

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 1)


@pytest.fixture
def folder(make_spec: Callable[..., RunSpec]) -> RunFolder:
    return RunFolder.create(make_spec())


@pytest.mark.parametrize(
    ("left", "kind", "raised"),
    [
        (OutOfMemory("it is full", "take less"), "out_of_memory", OutOfMemory),
        (RunFailed("it is full", "take less"), "failed", RunFailed),
        (UsageError("it is full", "take less"), "usage", UsageError),
        (InfrastructureError("it is full", "take less"), "infrastructure", InfrastructureError),
        (Interrupted("it is full", "take less"), "failed", RunFailed),
    ],
)
def test_a_workers_sentence_reaches_the_host(
    folder: RunFolder, left: GbenchError, kind: str, raised: type[GbenchError]
) -> None:
    assert read_error(folder) is None
    write_error(folder, left)
    found = read_error(folder)
    assert found is not None and found.kind == kind
    assert type(found.to_raise()) is raised
    assert str(found.to_raise()) == "it is full; take less"
    forget_error(folder)
    assert read_error(folder) is None


def test_any_version_is_read_and_a_broken_file_named(folder: RunFolder) -> None:
    folder.write("error.json", {"what": "it broke", "hint": "mend it"})
    found = read_error(folder)
    assert found is not None and type(found.to_raise()) is RunFailed
    folder.write("error.json", {"kind": "melted", "what": "it broke", "hint": "mend it", "where": "here"})
    found = read_error(folder)
    assert found is not None and type(found.to_raise()) is RunFailed
    (folder.path / "error.json").write_text(json.dumps({"version": 1, "what": 3}))
    with pytest.raises(InfrastructureError, match=r"error\.json is broken \(what: input should be a valid string"):
        read_error(folder)


def test_torchs_own_allocator_that_has_nothing_left_is_told(folder: RunFolder) -> None:
    with (
        pytest.raises(OutOfMemory, match="the host is out of memory with 32 images per device; take a smaller batch"),
        convert_memory_errors(CPU, 32),
    ):
        torch.empty(1 << 46)  # 256 TiB, above what an address has bits for here


@pytest.mark.parametrize(
    ("need_gib", "said"),
    [(lambda: 5.64, ", for which a rank needs about 5.64 GiB; "), (lambda: None, "; "), (lambda: 1 / 0, "; ")],
)
def test_out_of_memory_says_what_a_rank_needs(need_gib: Callable[[], float | None], said: str) -> None:
    """If that can be counted then."""
    with (
        pytest.raises(OutOfMemory, match=f"^the host is out of memory with 8 images per device{said}take a smaller"),
        convert_memory_errors(CPU, 8, need_gib),
    ):
        raise MemoryError


@pytest.mark.parametrize(
    ("error", "place"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."), "cuda:1"),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"), "cuda:1"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "cuda:1"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "cuda:1"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), "cuda:1"),
        (RuntimeError("NCCL error: unhandled cuda error\nLast error:\nCuda failure 2 'out of memory'"), "cuda:1"),
        (MemoryError(), "the host"),
        (OSError(12, "Cannot allocate memory"), "the host"),
        (RuntimeError("std::bad_alloc"), "the host"),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), None),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"), None),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), None),
        (OSError(28, "No space left on device"), None),
        (ValueError("std::bad_alloc"), None),
    ],
)
def test_what_libraries_say_of_memory_is_understood(error: Exception, place: str | None) -> None:
    assert out_of_memory(error, CUDA) == place
