"""The record of a run, built from its run folder alone."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gbench.base.files import is_there, read_file
from gbench.cndb import log_line
from gbench.cndb.identity import sealed
from gbench.cndb.record import FAILED, STATUS, Record, checked
from gbench.errors import RunFailed
from gbench.measure.summary import printed_means
from gbench.runfolder.environment_facts import EnvironmentFacts
from gbench.runfolder.evaluation_result import read_final
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.host_facts import HostFacts, Processor
from gbench.runfolder.run_result import RunResult
from gbench.settings.literals import CLUSTERS
from gbench.settings.spec import RunSpec

# Keys of the spec that are specific to one run
OF_ONE_RUN = {
    *("run_id", "command_line", "database", "results_dir", "logs_dir", "cndb_dir", "cache_dir", "rehash"),
    *("db_timeout_s", "rdzv", "node_rank", "rdzv_timeout_s"),
}

# Figures that say how far the others can be trusted: in `extra`, as the original has none such
OF_THE_RULE = ("epochs_seen", "checkpoint_periods_seen", "cycle_steps", "first_reading")
EXCHANGE = "exchange"  # in `extra` too, of several ranks


def record_of(folder: RunFolder, result: RunResult | None = None) -> Record:
    """The record of a finished run: from its benchmark log, else from its samples, else from a line that it printed.

    Args:
        result: its statistics; None: those in result.json.

    Raises:
        RunFailed: the run has no results to make a record from.
        RecordError: its results are invalid, such as a figure that is not finite.
    """
    spec, environment = folder.spec(), folder.environment()
    result = result or folder.result()
    lines = _benchmark_lines(folder.benchmark_log)
    if not lines and result is None:
        lines = _benchmark_lines(folder.log)
    values = _common(spec, folder.host())
    if spec.nodes > 1:
        values["extra"]["nodes"] = _nodes(folder)
    if lines:
        line = lines[-1]
        try:
            parsed = log_line.parse(line)
        except ValueError as error:
            raise RunFailed(f"benchmark log line {line!r}: {error}", "fix the run script") from error
        values["extra"]["warnings"] = [*values["extra"]["warnings"], *_said_otherwise(values, parsed, len(lines))]
        values.update(parsed, extra={**values["extra"], **parsed.get("extra", {})})
        if environment.memory and "perf_data" in parsed:
            values["perf_data"]["memory"] = environment.memory
        _add_worker_facts(values, environment)
        return sealed(checked(values, str(folder.path)))
    if environment.device is None or result is None:
        steps = folder.steps(0)
        if len(steps) and steps.warmup.all():
            raise RunFailed(
                f"the run left no measured step: the warm-up took all of its {len(steps)}",
                "give it more by --max-time or --steps, or fewer to the warm-up by --warmup",
            )
        raise RunFailed(
            "the run left neither measured steps nor a benchmark log line",
            f"read {folder.log}; a run script of your own must append its line to $BENCHMARK_LOG",
        )
    losses: dict[str, Any] = result.last_epoch_losses if spec.recipe == "convergence" else result.losses
    lost = [name for name, mean in losses.items() if not math.isfinite(mean)]
    if lost:
        raise RunFailed(f"the losses {', '.join(lost)} became NaN or infinite", f"the run diverged; read {folder.log}")
    if environment.precision_at_end is None:
        raise RunFailed(f"the run {folder.path} did not come to its end", f"read {folder.log}")
    _add_worker_facts(values, environment)
    if spec.recipe == "convergence":
        losses = {**printed_means(folder), "all_iterations": losses}
    figures = asdict(result)
    values.update(
        dev=environment.device,
        train_type=environment.precision_at_end.ran,
        perf_data=_perf_data(figures),
        metric_data={**losses, **_evaluation(folder, values["extra"])},
    )
    written = environment.values()
    values["extra"].update({key: written.get(key) for key in ("ended", "data", "rank", "ddp")})
    values["extra"].update({key: written[key] for key in ("bucket_views", "malloc") if written.get(key)})
    values["extra"].update({key: figures[key] for key in OF_THE_RULE})
    if figures[EXCHANGE] is not None:
        values["extra"][EXCHANGE] = figures[EXCHANGE]
    if environment.data is not None:
        values["hyper_params"]["data_source"] = environment.data.source  # the one in use, not the requested one
    return sealed(checked(values, str(folder.path)))


def failed_record(folder: RunFolder, why: str) -> Record:
    """The record of a run that failed: what ran, and why it failed. It has no figures, and no reader takes it."""
    values = _common(folder.spec(), folder.host())
    values["extra"] |= {STATUS: FAILED, "failure": why}
    return checked(values, str(folder.path), may_be_empty=True)


def unmeasured_record(spec: RunSpec) -> Record:
    """What a record of this spec says before a run, on a machine that is not known."""
    return checked(_common(spec, HostFacts()), "the spec", may_be_empty=True)


def _nodes(folder: RunFolder) -> list[dict[str, Any]]:
    """The environment of each node, as its host and its worker saw it."""
    hosts = [one.host() for one in (folder, *folder.of_further_nodes())]
    seen = folder.environment().nodes or [{}] * len(hosts)
    kept = {"node", "where", "hardware", "git", "warnings"}
    return [
        {**host.model_dump(mode="json", include=kept, exclude_unset=True), "worker": worker}
        for host, worker in zip(hosts, seen, strict=False)
    ]


def _add_worker_facts(values: dict[str, Any], environment: EnvironmentFacts) -> None:
    """Add facts from the worker: versions, torch's precision settings at the end, devices, kernel."""
    values["soft_info"] |= environment.software
    if environment.precision_at_end is not None:
        values["extra"]["precision_flags"] = environment.precision_at_end.values()
    if environment.hardware.model_fields_set:
        values["extra"].update(gpus=environment.hardware.gpus, kernel=environment.hardware.kernel)


def _evaluation(folder: RunFolder, extra: dict[str, Any]) -> dict[str, Any]:
    """Mean metrics of a convergence run's final evaluation; adds its settings to `extra`."""
    evaluation = read_final(folder)
    if evaluation is None:
        return {}
    extra["evaluation"] = {
        "mode": evaluation.mode,
        "phase": evaluation.data.phase,
        "images": len(evaluation.images),
        "epoch": evaluation.checkpoint.epoch,
        "checkpoint_sha256": evaluation.checkpoint.sha256,
        "sd": {name: spread.sd for name, spread in evaluation.metrics.items()},
    }
    return {name: spread.mean for name, spread in evaluation.metrics.items() if spread.mean is not None}


def _benchmark_lines(path: Path) -> list[str]:
    """The benchmark log lines in a file; the last is the run's result."""
    if not is_there(path):
        return []
    lines = read_file(path, errors="replace").splitlines()
    return [line.strip() for line in lines if log_line.is_benchmark_line(line)]


def _said_otherwise(values: Mapping[str, Any], parsed: Mapping[str, Any], lines: int) -> Iterator[str]:
    """What the line of a run script puts in place of the run's own values, which the launch did not measure."""
    if lines > 1:
        yield f"the run script wrote {lines} benchmark log lines: the last one is the result"
    names = {key: name for name, key in log_line.KEYS.items()}
    for key, said in parsed.items():
        own = values.get(key)
        if not isinstance(said, dict) and own is not None and said != own:
            yield f"the run script says {names[key]} {said}, the launch {own}: the record has the script's"


def _common(spec: RunSpec, host: HostFacts) -> dict[str, Any]:
    """The keys of a record that come from the spec and the host."""
    hardware, gpus = host.hardware, host.hardware.gpus
    where = {key: value for key, value in host.where.values().items() if key != "image"}
    cpu = hardware.cpu or Processor()
    return {
        "model": spec.record_name,
        "batch_size": spec.batch_size,
        "framework": spec.framework,
        "dataset": spec.dataset,
        "dev": gpus[0] if gpus else cpu.name or "unknown",
        "dev_num": spec.world_size,
        "train_type": spec.precision,
        "dist_type": "DDP" if spec.world_size > 1 else "Single",
        "hyper_params": {
            **spec.config.optim.model_dump(),
            **spec.config.network.model_dump(),
            **{f"data_{key}": value for key, value in spec.config.data.model_dump().items()},
            "seed": spec.seed,
            "deterministic": spec.deterministic,
            "profile": spec.profile,
            **({"speed": spec.config.speed.on} if spec.config.speed.on else {}),
        },
        "code_link": spec.code_link,
        "soft_info": {"name": host.where.image or "host", **where},
        "hard_info": {
            "name": hardware.os or "unknown",
            "cpu": hardware.cpu and hardware.cpu.values(),
            "mem": hardware.mem,
            "dev": {name: gpus.count(name) for name in gpus},
        },
        "extra": {
            "NV_Web": "N/A",
            "Github": "N/A",
            "run_id": spec.run_id,
            "recipe": spec.recipe,
            "batch_size_per_device": spec.batch_per_device,
            "driver": hardware.driver or "N/A",
            **({"machine": hardware.machine.values()} if hardware.machine else {}),
            "dataset_sha256": host.dataset.sha256,
            "dataset_source": host.dataset.source,
            **({"dataset_hashing": host.dataset.hashing} if host.dataset.hashing else {}),
            "command_line": spec.command_line,
            **({"env": spec.env} if spec.env else {}),
            "git": host.git and host.git.values(),
            "run_script_sha256": host.run_script_sha256,
            "spec": spec.model_dump(mode="json", exclude={*OF_ONE_RUN, *_other_runners(spec)}),
            "warnings": host.warnings,
            "checks": {check.id: check.found for check in host.checks if check.severity == "warning"},
            "started_utc": host.started_utc,
            "resumed_utc": host.resumed,
            "ended_utc": host.ended_utc,
            **({"between_runs": host.between_runs.values()} if host.between_runs else {}),
            **({"one_device": host.one_device.values()} if host.one_device else {}),
        },
    }


def _other_runners(spec: RunSpec) -> set[str]:
    """The options of clusters on which the run is not."""
    return {name for name in CLUSTERS if getattr(spec, name) is None}


def _perf_data(figures: dict[str, Any]) -> dict[str, Any]:
    """The fields of a RunResult as `perf_data`: CNDB's own figures under CNDB's names, each with its unit."""
    left_out = {"losses", "last_epoch_losses", *OF_THE_RULE, EXCHANGE}
    rest = {key: value for key, value in figures.items() if key not in left_out}
    return {
        "throughput": rest.pop("throughput_img_s"),
        "throughput_unit": "img/s",
        "latency": rest["step"]["mean_s"],
        "latency_unit": "s/step",
        "variance": rest.pop("step_variance_s2"),
        "variance_unit": "s^2",
        "count": rest.pop("steps"),
        **rest,
    }
