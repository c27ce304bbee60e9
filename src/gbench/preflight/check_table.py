"""The table of all checks, in the order in which they are made. docs/check.md shows the same rows."""

from __future__ import annotations

from gbench.preflight import cgroups, cpu_and_os, cuda, gpu_links, gpu_state, needs
from gbench.preflight.each_gpu import of_each
from gbench.preflight.rule import Rule

CUDA = frozenset({"cuda"})
DOCKER = frozenset({"docker"})
LOCAL = frozenset({"local"})

RULES: tuple[Rule, ...] = (
    Rule(
        "variables",
        "launch.sh's eight resolve: CONT, DATASETS, DATASETS_DIR, CNDB_DIR, CODE_LINK, RUN_MODEL_FILE, DOCKERFILE, "
        "CONFIG; else error",
        "they decide what is measured, and under which name it is kept",
        "export the variable, or leave it out for the project's own value",
        needs.variables,
        needed=True,
    ),
    Rule(
        "docker",
        "a Docker engine answers; else error",
        "the image is what makes runs of two machines comparable",
        "start the engine, or go without it: --runner local",
        needs.docker,
        only=DOCKER,
        needed=True,
    ),
    Rule(
        "container-toolkit",
        "the engine can hand over GPUs; else error",
        "without it no container sees a GPU",
        "install nvidia-container-toolkit and restart Docker",
        needs.container_toolkit,
        only=DOCKER | CUDA,
        needed=True,
    ),
    Rule(
        "torch",
        "torch is installed; else error",
        "a local run trains with the torch of this Python environment",
        "pip install torch torchvision",
        needs.torch,
        only=LOCAL,
        needed=True,
    ),
    Rule(
        "dataset",
        "it is there and as its manifest says, else error; without a manifest warning",
        "other pictures take other times to decode, and train to other losses",
        "gbench data prepare, or set DATASETS_DIR to where it is",
        needs.dataset,
        needed=True,
    ),
    Rule(
        "dataset-mount",
        "DATASETS_DIR is on a disk of this machine; on a network mount warning",
        "then others' traffic is part of the data wait",
        "copy the dataset to a local disk, and set DATASETS_DIR to it",
        cpu_and_os.dataset_mount,
    ),
    Rule(
        "disk",
        "room for the runs (8 GiB) and, in Docker's folder, for the image (20 GiB); else warning",
        "a full disk ends a build or a run",
        "free some, e.g. by docker image prune, or name another folder with --results",
        needs.disk,
    ),
    Rule(
        "shared-memory",
        "1 GiB is free in /dev/shm; else warning",
        "loader processes hand over their batches in it, and NCCL its messages; a full one ends the run",
        "mount -o remount,size=8G /dev/shm, or see who fills it",
        cpu_and_os.shared_memory,
    ),
    Rule(
        "cpu",
        "model, sockets, cores, threads; for information",
        "decoding and launching kernels are the processor's work",
        "",
        cpu_and_os.cpu,
    ),
    Rule(
        "cpu-governor",
        "the scaling governor is `performance` on every CPU; else error",
        "a CPU that saves power launches kernels late and decodes slowly, the more the less there is to do",
        "set it to performance, until the next start of the machine",
        cpu_and_os.governor,
    ),
    Rule(
        "busy-processes",
        "no other process uses more than 5 % of a CPU, in two looks of 0.5 s; else error",
        "it takes time, memory bandwidth and caches from the run, and not the same in the next one",
        "end it, or wait for it",
        cpu_and_os.busy_processes,
    ),
    Rule(
        "cgroup-limits",
        "a quota below the machine's CPUs, or memory below 4 GiB a device: warning; other limits for information",
        "a quota stops all threads for the rest of each period; a memory limit kills the run",
        "lift the limit of the slice, the container or the job that gbench runs in",
        cgroups.cgroup_limits,
    ),
    Rule(
        "huge-pages",
        "transparent huge pages: always, madvise or never; for information",
        "they change what host memory costs: two machines should be set alike to be compared",
        "",
        cpu_and_os.huge_pages,
    ),
    Rule(
        "irqbalance",
        "where it is installed, 1.5.0 or later; else error",
        "older ones put the interrupts of all devices on few CPUs, which are then late for the run's work",
        "install a later irqbalance",
        cpu_and_os.irqbalance,
    ),
    Rule(
        "gpu",
        "the driver lists GPUs; else error",
        "there is nothing to measure",
        "install the NVIDIA driver, or use --device cpu",
        needs.gpu,
        only=CUDA,
        needed=True,
    ),
    Rule(
        "gpu-cuda",
        "the driver can run the CUDA of the image, or of the local torch, and that has code for the run's GPUs "
        "(CUDA 13 none for a V100), else error; by forward-compatibility libraries warning; by minor-version "
        "compatibility for information",
        "otherwise CUDA does not start",
        "install a later driver, or take an image of an earlier CUDA: --from-image",
        cuda.driver_cuda,
        only=CUDA,
    ),
    Rule(
        "gpu-processes",
        "no other process computes on the run's GPUs, else error; draws on them, or is on another GPU: warning",
        "it takes its share of the time, the memory and the power",
        "end it, or wait for it; gbench never does",
        gpu_state.processes,
        only=CUDA,
    ),
    Rule(
        "gpu-persistence",
        "persistence mode is on; else warning",
        "without it the driver unloads between runs: the next one starts late, and with default clocks",
        "switch it on",
        of_each(gpu_state.persistence),
        only=CUDA,
    ),
    Rule(
        "gpu-application-clocks",
        "the default, or the highest there are; else warning",
        "the figure is that of a card held back",
        "set the highest (--clocks), or nvidia-smi -rac for the default",
        of_each(gpu_state.application_clocks),
        only=CUDA,
    ),
    Rule(
        "gpu-clocks",
        "the clocks now; below 90 % of the highest on a card neither idle nor throttled, warning",
        "a locked clock holds the card back, and NVML does not tell of it otherwise",
        "lock the highest (--clocks), or nvidia-smi -rgc to unlock",
        of_each(gpu_state.clocks_now),
        only=CUDA,
    ),
    Rule(
        "gpu-throttling",
        "no reason to throttle now; heat, power brake and hardware slowdown are errors, others warnings (application "
        "clocks have their own check)",
        "a card that is held back before it has work is held back in the run too",
        "let it cool down; see to its airflow, its power cables and its limits: nvidia-smi -q -d PERFORMANCE",
        of_each(gpu_state.throttling),
        only=CUDA,
    ),
    Rule(
        "gpu-power-limit",
        "the limit in force is not below the default; else warning",
        "under load the card lowers its clocks to keep to it",
        "set the default limit",
        of_each(gpu_state.power_limit),
        only=CUDA,
    ),
    Rule(
        "gpu-ecc",
        "no uncorrected memory error since the driver was loaded, else error; a change or repair that waits for a "
        "reset, or failed, warning",
        "uncorrected errors change results; ECC itself takes memory and, on GDDR cards, bandwidth",
        "reset the card when it is idle: nvidia-smi --gpu-reset -i INDEX; one that fails again is to be replaced",
        of_each(gpu_state.ecc),
        only=CUDA,
    ),
    Rule(
        "gpu-mig",
        "Multi-Instance GPU is off, else error; on after the next reset, warning",
        "a process sees a slice of the card, and the record would give its figure under the card's name",
        "nvidia-smi -i INDEX -mig 0, as root when the card is idle",
        of_each(gpu_state.mig),
        only=CUDA,
    ),
    Rule(
        "gpu-pcie-link",
        "width and, unless idle, generation are the highest the card can do; else warning",
        "copying batches and, without NVLink, adding up gradients take longer",
        "seat the card again, in a slot of its width; look for riser, BIOS settings and bifurcation",
        of_each(gpu_links.pcie_link),
        only=CUDA,
    ),
    Rule(
        "gpu-nvlink",
        "all links are up; for several GPUs with some down, warning",
        "gradients then go by fewer links, or through PCIe",
        "nvidia-smi nvlink -s, and nvidia-smi topo -m; see to bridges and nvidia-fabricmanager",
        of_each(gpu_links.nvlink),
        only=CUDA,
    ),
    Rule(
        "gpu-numa",
        "this process may use CPUs next to the GPU; else warning",
        "from the other socket each copy and each launch crosses the link between sockets",
        "bind it to the GPU's node with numactl",
        of_each(gpu_links.numa),
        only=CUDA,
    ),
    Rule(
        "pcie-acs",
        "Access Control Services are off on all bridges; for several GPUs else error",
        "they send what one GPU writes to another up through the processor",
        "switch ACS off in the BIOS or, as root, by `setpci -s BRIDGE ECAP_ACS+6.w=0000`; virtual machines that were "
        "given devices lose their isolation",
        gpu_links.acs,
        only=CUDA,
    ),
)
