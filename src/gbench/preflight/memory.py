"""Whether the ranks of a run fit into memory: each into its GPU's, or all those on the CPU into the host's."""

from math import inf

from gbench.base.size import GIB, size_text
from gbench.preflight import cgroups
from gbench.preflight.rule import Context, Finding, RankGib
from gbench.settings.spec import RunSpec

MAPS = 64  # feature maps of full size and width that a rank takes, at most
WEIGHTS = 16_000  # of both networks, by the square of their width, at most; and of each layer of D:
WEIGHTS_OF_LAYER = 1_024
PROCESS_GIB = 0.5
CUDA_GIB = 2.0  # the context, NCCL, and a workspace
LARGEST_CUT = 1e-3  # where a need is infinite


def rank_memory(context: Context) -> Finding | None:
    """What a rank needs, what is free for it, and the largest batch that fits."""
    spec = context.spec
    if context.run.rank_gib is None or not counted(spec):
        return None
    if spec.device == "cpu":
        if spec.devices_per_node > cgroups.usable_cores(context):
            return None  # an error of the check `cpu-ranks`
        free = cgroups.free_memory_gib(context)
        words = f"{size_text(free * GIB)} are free"
        if spec.devices_per_node * (most := at_most_gib(spec)) <= free:
            return Finding("ok", f"a rank needs less than {size_text(most * GIB)} of memory, {words}")
        return _judged(spec, context.run.rank_gib, free / spec.devices_per_node, f"{words} for all ranks")
    rooms = []
    for card in context.cards:
        if card.used and (memory := card.maybe("nvmlDeviceGetMemoryInfo")) is not None:
            room = f"{size_text(memory.free)} of {size_text(memory.total)} free"
            rooms.append((memory.free / GIB, f"GPU {card.gpu.index} ({card.gpu.name}) has {room}"))
    free, words = min(rooms, default=(inf, "no GPU here tells how much it has"))
    if (most := at_most_gib(spec)) <= free < inf:
        return Finding("ok", f"a rank needs less than {size_text(most * GIB)}; {words}")
    return _judged(spec, context.run.rank_gib, free, words)


def counted(spec: RunSpec) -> bool:
    """Whether the memory of a run can be counted: of a training of our own, on images of a size that the spec gives."""
    return spec.recipe in ("performance", "convergence", "profile") and "crop" in spec.config.data.preprocess


def host_gib(context: Context) -> float:
    """GiB of the host's memory that the ranks on the CPU take; of others it is not known."""
    spec, rank_gib = context.spec, context.run.rank_gib
    if rank_gib is None or spec.device != "cpu" or not counted(spec):
        return 0
    bound = spec.devices_per_node * at_most_gib(spec)
    if bound <= cgroups.free_memory_gib(context) / 2:
        return bound
    return spec.devices_per_node * (rank_gib(spec) or 0)


def at_most_gib(spec: RunSpec) -> float:
    """A bound on what a rank needs, without loading torch."""
    network, images = spec.config.network, spec.batch_per_device * spec.config.data.crop_size**2
    width = max(network.ngf, network.ndf)
    weights = 8 * (WEIGHTS + WEIGHTS_OF_LAYER * network.n_layers_D) * width**2  # gradients, Adam's moments, copies
    return (CUDA_GIB if spec.device == "cuda" else PROCESS_GIB) + 4 * (MAPS * images * width + weights) / GIB


def largest_batch(spec: RunSpec, rank_gib: RankGib, free_gib: float) -> int:
    """The largest smaller BATCH_SIZE with which a rank needs at most `free_gib`; 0: none.

    Need is a constant and a share of each image: by the ratio of free to need, a guess comes down to the answer.
    """
    images = spec.batch_per_device
    while images and (need := rank_gib(spec.replaced(batch_size=images * spec.world_size)) or 0) > free_gib:
        images = min(images - 1, int(images * max(free_gib / need, LARGEST_CUT)))
    return images * spec.world_size


def _judged(spec: RunSpec, rank_gib: RankGib, free_gib: float, free: str) -> Finding:
    need = rank_gib(spec) or 0
    found = f"a rank needs about {size_text(need * GIB)} for {spec.batch_per_device} images; {free}"
    if need <= free_gib:
        return Finding("info" if free_gib == inf else "ok", found)
    fits = largest_batch(spec, rank_gib, free_gib)
    does = f"BATCH_SIZE {fits} does" if fits else f"not even BATCH_SIZE {spec.world_size} does"
    return Finding("error", f"{found}: it does not fit, {does}")
