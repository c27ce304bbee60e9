"""Is this machine fit to measure on? Looks at everything in the table of `check_table.py`, and changes nothing."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from gbench.errors import InfrastructureError, OutOfMemory
from gbench.machine.gpus import Gpus, visible
from gbench.preflight.cards import open_cards
from gbench.preflight.check_table import RULES
from gbench.preflight.rule import CheckedRun, Context, Finding, Rule, Severity, finding_of
from gbench.runfolder.host_facts import CheckFacts
from gbench.settings.spec import RunSpec

IGNORE = (
    "`gbench check {}` shows how to fix it; `ignore_check` after DATABASE, or `ignore_check: true` in a spec file, "
    "measures anyway"
)
# What a launch checks. The other rules are for what it can't run without, and reports itself.
BOUNDS = tuple(rule for rule in RULES if rule.bound)
MEMORY = "memory"
CONDITIONS = tuple(rule for rule in RULES if not rule.needed and not rule.bound)


def run_checks(
    run: CheckedRun, gpus: Gpus, rules: Iterable[Rule] = RULES, root: Path = Path("/")
) -> Iterator[CheckFacts]:
    """All checks that apply to a run, one at a time as they complete. root: the folder of /proc and /sys."""
    gpus = visible(gpus, run.spec.cuda_visible_devices if run.spec else None)
    with open_cards(gpus if run.device == "cuda" else Gpus(missing="not used"), run.device_count) as cards:
        context = Context(run, gpus, cards, root)
        for rule in rules:
            applies = rule.only <= {run.device, run.runner}
            if applies and (finding := finding_of(rule.probe, context)):
                yield _check(rule, finding, run)


def _check(rule: Rule, finding: Finding, run: CheckedRun) -> CheckFacts:
    """On the CPU, a condition that only distorts a figure is a warning: such runs are for trying things out."""
    severity = finding.severity
    if severity == "error" and run.device == "cpu" and not (rule.needed or rule.bound):
        severity = "warning"
    bad = severity in ("warning", "error")
    fix = (finding.fix or rule.fix) if bad else ""
    return CheckFacts(
        id=rule.id,
        severity=severity,
        found=finding.found,
        why=rule.why,
        fix=fix,
        commands=list(finding.commands) if bad else [],
        ignored=False,
    )


def of_severity(checks: Iterable[CheckFacts], severity: Severity) -> list[CheckFacts]:
    """Those of a severity. Errors make a machine unfit to measure on, warnings its figures doubtful."""
    return [check for check in checks if check.severity == severity]


def ignores_bounds(spec: RunSpec) -> bool:
    """Whether a run starts on a machine that can't bear it. A profile ignores only the machine's condition."""
    return spec.ignore_check and not spec.profiling


def broken_bounds(spec: RunSpec, gpus: Gpus) -> list[CheckFacts]:
    """The bounds of this machine that a run breaks, unless it ignores them."""
    if ignores_bounds(spec):
        return []
    return of_severity(run_checks(CheckedRun.of(spec), gpus, BOUNDS), "error")


def with_errors_ignored(checks: Iterable[CheckFacts]) -> list[CheckFacts]:
    """The checks, each error as a warning that is marked as ignored."""
    ignored = {"severity": "warning", "ignored": True}
    return [one.model_copy(update=ignored) if one.severity == "error" else one for one in checks]


def require_fit(checks: Iterable[CheckFacts], ignorable: bool = True, smoke: bool = False) -> None:
    """Stop a run on a machine that is not fit. ignorable: its command takes IGNORE_CHECK. smoke: by its smoke test.

    Raises:
        OutOfMemory: the run does not fit into memory, and nothing else is wrong.
        InfrastructureError: it is not fit; the message has every error.
    """
    if errors := of_severity(checks, "error"):
        kind = OutOfMemory if all(check.id == MEMORY for check in errors) else InfrastructureError
        raise kind(
            f"this machine is not fit {'to measure on' if ignorable else 'for that'}: "
            + "; ".join(f"{check.id}: {check.found}" for check in errors),
            IGNORE.format("--gpu-smoke" if smoke else "--fix")
            if ignorable
            else "; ".join(check.fix for check in errors),
        )
