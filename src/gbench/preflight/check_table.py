"""The table of all checks, in the order in which they run. docs/check.md shows the same rows."""

from functools import partial

from gbench.preflight import calibrated, cgroups, cpu_and_os, cuda, gpu_links, gpu_state, memory, needs, processes
from gbench.preflight.rule import Rule, of_each

CPU = frozenset({"cpu"})
CUDA = frozenset({"cuda"})
DOCKER = frozenset({"docker"})
LOCAL = frozenset({"local"})
needed = partial(Rule, needed=True)
bound = partial(Rule, bound=True)
gpu_rule = partial(Rule, only=CUDA)

RULES: tuple[Rule, ...] = (
    needed(
        "variables",
        "launch.sh's eight variables resolve: CONT, DATASETS, DATASETS_DIR, CNDB_DIR, CODE_LINK, RUN_MODEL_FILE, "
        "DOCKERFILE, CONFIG; else error",
        "they decide what is measured, and the name under which it is recorded",
        "export the variable, or leave it unset for the project's own value",
        needs.variables,
    ),
    needed(
        "docker",
        "a Docker engine answers; else error",
        "runs on two machines are comparable only in the same image",
        "start the engine, or run without it: --runner local",
        needs.docker,
        only=DOCKER,
    ),
    needed(
        "container-toolkit",
        "the engine can pass GPUs to a container; else error",
        "without it no container sees a GPU",
        "install nvidia-container-toolkit and restart Docker",
        needs.container_toolkit,
        only=DOCKER | CUDA,
    ),
    needed(
        "torch",
        "torch is installed; else error",
        "a local run trains with this Python environment's torch",
        "pip install torch torchvision",
        needs.torch,
        only=LOCAL,
    ),
    needed(
        "dataset",
        "it exists and matches its manifest, else error; without a manifest, warning",
        "different images take different times to decode and train to different losses",
        "gbench data prepare, or set DATASETS_DIR to the folder that has it",
        needs.dataset,
    ),
    Rule(
        "dataset-mount",
        "DATASETS_DIR is on a local disk; on a network mount, warning",
        "on a network mount, other traffic adds to the data wait",
        "copy the dataset to a local disk, and set DATASETS_DIR to it",
        cpu_and_os.dataset_mount,
    ),
    needed(
        "writing",
        "run folders, logs and records can be written; else error",
        "a run whose record can't be written is lost",
        "free space there, or take folders that you may write: --results, --logs, --cndb-dir",
        needs.writing,
    ),
    Rule(
        "disk",
        "8 GiB are free for the runs and, in Docker's folder, 20 GiB for the image; else warning",
        "a full disk ends a build or a run",
        "free some space, e.g. docker image prune, or choose another folder with --results",
        needs.disk,
    ),
    Rule(
        "shared-memory",
        "1 GiB is free in /dev/shm, for a run outside Docker; else warning",
        "loader processes and NCCL exchange data through it; if it is full, the run fails",
        "mount -o remount,size=8G /dev/shm, or find out what fills it",
        cpu_and_os.shared_memory,
    ),
    Rule(
        "cpu",
        "model, sockets, cores, threads; for information",
        "the CPU decodes images and launches kernels",
        "",
        cpu_and_os.cpu,
    ),
    bound(
        "cpu-ranks",
        "a CPU run has at most as many ranks as cores that it may use; else error",
        "ranks that share a core wait for each other in every step, and for everything else on the machine",
        "take a smaller DEVICE_COUNT",
        processes.cpu_ranks,
        only=CPU,
    ),
    bound(
        "loader-processes",
        "all ranks together start at most 4 loader processes a core, and their batches fit into the memory that the "
        "ranks leave free; else error",
        "more of them load no faster, and can take the machine's memory and process numbers from everyone",
        "take fewer: --set data.workers=N",
        processes.loader_processes,
    ),
    bound(
        "memory",
        "each rank of a launch fits into the free memory of its GPU; on the CPU, all of them into that of the host; "
        "else error",
        "a rank that runs out of memory ends the run, and on the host perhaps other programs too",
        "take a smaller BATCH_SIZE or, on GPUs, more devices",
        memory.rank_memory,
    ),
    Rule(
        "cpu-governor",
        "the scaling governor is `performance` on every CPU; else error",
        "a CPU that saves power launches kernels late and decodes slowly, most of all under light load",
        "set it to performance; this lasts until the next boot",
        cpu_and_os.governor,
    ),
    Rule(
        "busy-processes",
        "no other process uses more than 5 % of a CPU in two samples of 0.5 s or longer; else error",
        "it takes CPU time, memory bandwidth and caches from the run, and differs from run to run",
        "end it, or wait for it",
        cpu_and_os.busy_processes,
    ),
    Rule(
        "cgroup-limits",
        "a quota below the machine's CPUs, or memory below 4 GiB per device: warning; other limits for information",
        "a quota stops all threads for the rest of each period; exceeding a memory limit kills the run",
        "raise the limit of the slice, container or job that gbench runs in",
        cgroups.cgroup_limits,
    ),
    Rule(
        "huge-pages",
        "transparent huge pages: always, madvise or never; for information",
        "they change the cost of host memory: machines to be compared should have the same setting",
        "",
        cpu_and_os.huge_pages,
    ),
    Rule(
        "irqbalance",
        "if installed, it is 1.5.0 or later; else error",
        "older versions put the interrupts of all devices on a few CPUs, which delays the run's work there",
        "install a later version",
        cpu_and_os.irqbalance,
    ),
    Rule(
        "calibration",
        "what gbench calibrate measured on this machine, by configuration; for information",
        "without it gbench compare assumes how much runs vary",
        "",
        calibrated.calibration,
    ),
    needed(
        "gpu",
        "the driver lists GPUs; else error",
        "there is nothing to measure",
        "install the NVIDIA driver, or use --device cpu",
        needs.gpu,
        only=CUDA,
    ),
    gpu_rule(
        "gpu-cuda",
        "the driver can run the CUDA of the image or the local torch, and that CUDA supports the run's GPUs (CUDA 13 "
        "does not support a V100); else error; only by forward-compatibility libraries, warning; by minor-version "
        "compatibility, for information",
        "otherwise CUDA does not start",
        "install a later driver, or use an image with an earlier CUDA: --from-image",
        cuda.driver_cuda,
    ),
    gpu_rule(
        "gpu-processes",
        "no other process computes on the run's GPUs, else error; graphics, or a process on another GPU, warning",
        "it takes a share of the GPU's time, memory and power",
        "end it, or wait for it; gbench never does",
        gpu_state.processes,
    ),
    gpu_rule(
        "gpu-persistence",
        "persistence mode is on; else warning",
        "without it the driver unloads between runs: the next run starts late and with default clocks",
        "enable it",
        of_each(gpu_state.persistence),
    ),
    gpu_rule(
        "gpu-application-clocks",
        "they are the default or the highest; else warning",
        "a card with lower clocks is slower than others of its kind",
        "set the highest (--clocks), or the default (nvidia-smi -rac)",
        of_each(gpu_state.application_clocks),
    ),
    gpu_rule(
        "gpu-clocks",
        "the present clocks; below 90 % of the highest on a card that is neither idle nor throttled, warning",
        "a locked clock slows the card down, and NVML does not report it in any other way",
        "lock the highest (--clocks), or unlock (nvidia-smi -rgc)",
        of_each(gpu_state.clocks_now),
    ),
    gpu_rule(
        "gpu-throttling",
        "the card is not throttled now; for heat, power brake or hardware slowdown, error; for another reason, warning "
        "(application clocks have their own check)",
        "a card that is throttled without load is throttled in the run too",
        "let it cool down; check its airflow, power cables and limits: nvidia-smi -q -d PERFORMANCE",
        of_each(gpu_state.throttling),
    ),
    gpu_rule(
        "gpu-power-limit",
        "the limit in force is not below the default; else warning",
        "under load the card lowers its clocks to stay below it",
        "set the default limit",
        of_each(gpu_state.power_limit),
    ),
    gpu_rule(
        "gpu-ecc",
        "no uncorrected memory error since the driver was loaded, else error; a pending change, or a pending or failed "
        "repair, warning",
        "uncorrected errors change results; ECC itself takes memory and, on GDDR cards, bandwidth",
        "reset the card when it is idle: nvidia-smi --gpu-reset -i INDEX; replace one that fails again",
        of_each(gpu_state.ecc),
    ),
    gpu_rule(
        "gpu-mig",
        "Multi-Instance GPU is off, else error; on after the next reset, warning",
        "a process uses a slice of the card, and the record would give its figure for the whole card",
        "nvidia-smi -i INDEX -mig 0, as root when the card is idle",
        of_each(gpu_state.mig),
    ),
    gpu_rule(
        "gpu-pcie-link",
        "its width and, unless idle, its generation are the highest that the card supports; else warning",
        "copying batches and, without NVLink, summing gradients take longer",
        "reseat the card in a slot of its width; check risers, BIOS settings and bifurcation",
        of_each(gpu_links.pcie_link),
    ),
    gpu_rule(
        "gpu-nvlink",
        "all links are up; if some are down and the run uses several GPUs, warning",
        "gradients otherwise use fewer links, or PCIe",
        "nvidia-smi nvlink -s and nvidia-smi topo -m; check bridges and nvidia-fabricmanager",
        of_each(gpu_links.nvlink),
    ),
    gpu_rule(
        "gpu-numa",
        "this process may use CPUs of the GPU's NUMA node; else warning",
        "from the other socket, each copy and each launch crosses the link between sockets",
        "bind it to that node with numactl",
        of_each(gpu_links.numa),
    ),
    gpu_rule(
        "pcie-acs",
        "Access Control Services are off on all bridges; else error if the run uses several GPUs",
        "they route traffic between GPUs through the processor",
        "turn ACS off in the BIOS or, as root, with `setpci -s BRIDGE ECAP_ACS+6.w=0000`; this removes the isolation "
        "of virtual machines that use devices directly",
        gpu_links.acs,
    ),
)
