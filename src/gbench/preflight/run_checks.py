"""Is this machine fit to measure on? Looks at everything in the table of `check_table.py`, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gbench.errors import InfrastructureError
from gbench.machine.gpus import Gpus, visible
from gbench.preflight.cards import open_cards
from gbench.preflight.check_table import RULES
from gbench.preflight.rule import Check, Finding, Look, Rule, Wanted
from gbench.preflight.unreadable import Unreadable

# What a launch checks: whatever else a run can't do without, it finds missing by itself, with a sentence of its own.
CONDITIONS = tuple(rule for rule in RULES if not rule.needed)

__all__ = ["CONDITIONS", "Check", "Verdict", "Wanted", "judge", "require_fit", "run_checks"]


def run_checks(wanted: Wanted, gpus: Gpus, rules: Iterable[Rule] = RULES, root: Path = Path("/")) -> Iterator[Check]:
    """All checks that matter for what is wanted, one at a time as they are done; about a second for all.

    Args:
        gpus: what `find_gpus` found. rules: all, or `CONDITIONS`. root: where /proc and /sys are.
    """
    gpus = visible(gpus, wanted.spec.cuda_visible_devices if wanted.spec else None)
    with open_cards(gpus if wanted.device == "cuda" else Gpus(missing="not wanted"), wanted.device_count) as cards:
        look = Look(wanted, gpus, cards, root)
        for rule in rules:
            if rule.only <= {wanted.device, wanted.runner}:
                finding = _look(rule, look)
                if finding is not None:
                    yield _check(rule, finding, wanted)


def _look(rule: Rule, look: Look) -> Finding | None:
    try:
        return rule.probe(look)
    except Unreadable as reason:
        return Finding("info", str(reason))


def _check(rule: Rule, finding: Finding, wanted: Wanted) -> Check:
    """On the CPU, what only makes a number worse is a warning: runs there try things out, on machines as they are."""
    severity = finding.severity
    if severity == "error" and wanted.device == "cpu" and not rule.needed:
        severity = "warning"
    bad = severity in ("warning", "error")
    mend = (finding.mend or rule.mend) if bad else ""
    return Check(rule.id, severity, finding.found, rule.why, mend, finding.commands if bad else ())


@dataclass(frozen=True)
class Verdict:
    """All checks of one look at the machine. An ignored error is a warning that says so."""

    checks: tuple[Check, ...]

    @property
    def errors(self) -> tuple[Check, ...]:
        """What makes the machine unfit."""
        return tuple(check for check in self.checks if check.severity == "error")

    @property
    def warnings(self) -> tuple[Check, ...]:
        """What makes its figures doubtful, ignored errors included."""
        return tuple(check for check in self.checks if check.severity == "warning")

    @property
    def fit(self) -> bool:
        """Whether to measure on it."""
        return not self.errors


def judge(checks: Iterable[Check], ignore_check: bool = False) -> Verdict:
    """The verdict. ignore_check: errors become warnings, marked as ignored."""
    return Verdict(
        tuple(
            replace(check, severity="warning", ignored=True) if ignore_check and check.severity == "error" else check
            for check in checks
        )
    )


def require_fit(verdict: Verdict) -> None:
    """Stop a launch on a machine that is not fit.

    Raises:
        InfrastructureError: it isn't; names every error.
    """
    if not verdict.fit:
        errors = "; ".join(f"{check.id}: {check.found}" for check in verdict.errors)
        raise InfrastructureError(
            f"this machine is not fit to measure on: {errors}",
            "`gbench check --fix` says how to mend it; `ignore_check` as the sixth argument measures all the same",
        )
