"""Variables of NCCL and of torch's process group that a run on several GPUs needs."""

from collections.abc import Mapping

from gbench.settings.spec import RunSpec

# network interfaces of the ranks of a run on several nodes; each node has its own
INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
NCCL_ORIGIN = "needed by NCCL"  # of `env`, where it has them


def with_nccl_variables(spec: RunSpec, environ: Mapping[str, str]) -> RunSpec:
    """`spec` with these variables in its `env`, except for those that the user set.

    environ: what a local run inherits. A tuning tries CUDA graphs, so it has their variable too.
    """
    if spec.device != "cuda" or spec.world_size == 1:
        return spec
    given = {**(environ if spec.runner != "docker" else {}), **spec.env}  # a container does not inherit it
    env = dict[str, str]()
    if spec.deterministic and not (given.get("NCCL_NVLS_ENABLE") or given.get("NCCL_ALGO")):
        env["NCCL_NVLS_ENABLE"] = "0"  # NVSwitch sums in no fixed order
    captures = spec.config.speed.cuda_graph or spec.tuning is not None
    if captures and not given.get("TORCH_NCCL_ASYNC_ERROR_HANDLING"):
        env["TORCH_NCCL_ASYNC_ERROR_HANDLING"] = "0"  # torch's notes on CUDA graphs with DistributedDataParallel
    return spec.replaced(env={**spec.env, **env})
