"""The table of a smoke test's parts. docs/check.md shows the same rows; pix2pix/gpu_smoke.py runs them."""

from functools import partial

from gbench.preflight.rule import Context, Finding, Rule

RUN, CUDA = "smoke", frozenset({"cuda"})


def _found(part: str, context: Context) -> Finding | None:
    return context.run.smoke().get(part) if context.run.smoke else None


def _rule(part: str, what: str, why: str, fix: str) -> Rule:
    return Rule(part if part == RUN else f"{RUN}-{part}", what, why, fix, partial(_found, part), CUDA)


DRIVER = "install another driver or image; if only this GPU fails, have it replaced, or leave it out with --gpus"
SMOKE = (
    _rule(
        RUN,
        "the smoke test finishes on every GPU within 5 minutes, or has passed before; else error; if the image "
        "has none, warning",
        "a run would hang or fail in the same place",
        "look for Xid errors in `dmesg`, and at `nvidia-smi`; install another driver or image",
    ),
    _rule(
        "convolution",
        "a convolution step, forward and backward, agrees with the CPU's in FP32, AMP and, from compute capability 8.0 "
        "on, TF32 and BF16; else error",
        "cuDNN gives wrong results, or another precision than the record says",
        DRIVER,
    ),
    _rule(
        "fp32",
        "an FP32 matrix product keeps bits that TF32 does not have; else error",
        "figures of FP32 would be those of TF32",
        "unset NVIDIA_TF32_OVERRIDE and TORCH_ALLOW_TF32_CUBLAS_OVERRIDE, or take another image",
    ),
    _rule("graph", "a CUDA graph is captured, and a replay computes; else error", "`speed.cuda_graph` fails", DRIVER),
    _rule(
        "triton",
        "a kernel in Triton compiles, else warning, and computes, else error",
        "`speed.compile` fails",
        "install gcc and the headers of Python and libc, or leave speed.compile out",
    ),
    _rule(
        "all-reduce",
        "an all-reduce over all GPUs gives the right sum; else error",
        "gradients would be wrong",
        "turn ACS and the IOMMU off, or set NCCL_P2P_DISABLE=1; nvidia-smi topo -m shows the links",
    ),
    _rule(
        "telemetry",
        "NVML gives clock and power; else warning",
        "records would have no clocks and no energy",
        "give the container the driver's utilities: NVIDIA_DRIVER_CAPABILITIES=compute,utility",
    ),
)
