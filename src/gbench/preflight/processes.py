"""Whether the cores and the memory bear the processes of a run. More of them than that stop everything else."""

from gbench.base.size import GIB
from gbench.preflight import cgroups
from gbench.preflight.memory import host_gib
from gbench.preflight.rule import Context, Finding

LOADERS_PER_CORE = 4  # data.workers is 4, so that one rank a core is always within the bound
LOADER_GIB = 1 / 32  # not shared with its rank; 10 MiB were measured
LOADER_BATCHES = 2  # that each holds ready, the DataLoader's default


def cpu_ranks(context: Context) -> Finding:
    """One rank computes on at least one core, and has an equal share of the batch."""
    spec = context.spec
    cores = cgroups.usable_cores(context)
    ranks = spec.devices_per_node
    found = f"{ranks} rank{'s' * (ranks > 1)}, cores for {cores}"
    if ranks <= cores:
        return Finding("ok", found)
    evaluates = spec.recipe == "evaluation"  # its batch is per device
    totals = range(spec.nodes, spec.nodes * cores + 1, spec.nodes)
    most = max(count for count in totals if evaluates or spec.batch_size % count == 0)
    return Finding("error", f"{found}: {'--device-count' if evaluates else 'DEVICE_COUNT'} {most} would do")


def loader_processes(context: Context) -> Finding | None:
    """All ranks together have 4 loader processes a core, and their batches fit into the memory."""
    spec = context.spec
    if spec.config.data.source == "synthetic":
        return None
    ranks, data = spec.devices_per_node, spec.config.data
    pair_gib = 2 * 3 * data.crop_size**2 * 4 / GIB  # FP32
    each_gib = LOADER_GIB + LOADER_BATCHES * spec.batch_size / spec.world_size * pair_gib
    cores = cgroups.usable_cores(context)
    free_gib = cgroups.free_memory_gib(context)
    if (ranks_gib := host_gib(context)) < free_gib:  # else it is an error of the check `memory`
        free_gib -= ranks_gib
    most = int(min(cores * LOADERS_PER_CORE, free_gib / each_gib) / ranks)
    found = f"{ranks * data.workers} loader processes, cores and memory for {most * ranks}"
    if data.workers <= most:
        return Finding("ok", found)
    return Finding("error", f"{found}: --set data.workers={most} would do")
