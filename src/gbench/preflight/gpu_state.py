"""The settings and the present state of each GPU. One probe per rule of `check_table.py`, which gives the reason."""

import os
from typing import Any

from gbench.base.size import size_text
from gbench.preflight.cards import Card, call
from gbench.preflight.rule import Command, Context, Finding, Severity, merge, worst
from gbench.preflight.tools import Unreadable

AWAKE_SHARE = 0.9  # of the highest SM clock; a card below it that is neither idle nor throttled has a locked clock

# NVML's name of each reason for a lower clock, our name, and its severity before a run.
REASONS: tuple[tuple[str, str, Severity], ...] = (
    ("nvmlClocksThrottleReasonGpuIdle", "idle", "ok"),
    ("nvmlClocksThrottleReasonApplicationsClocksSetting", "application clocks", "info"),  # these have their own check
    ("nvmlClocksThrottleReasonSwPowerCap", "power cap", "warning"),
    ("nvmlClocksThrottleReasonSyncBoost", "held to another GPU's clock (sync boost)", "warning"),
    ("nvmlClocksThrottleReasonDisplayClockSetting", "display clock setting", "warning"),
    ("nvmlClocksThrottleReasonSwThermalSlowdown", "too hot (driver)", "error"),
    ("nvmlClocksThrottleReasonHwThermalSlowdown", "too hot (hardware)", "error"),
    ("nvmlClocksThrottleReasonHwPowerBrakeSlowdown", "power brake", "error"),
    ("nvmlClocksThrottleReasonHwSlowdown", "hardware slowdown", "error"),
)


def processes(context: Context) -> Finding | None:
    """Other processes on any of the host's GPUs; on a GPU that the run does not use they are a warning."""
    return merge([(card.gpu.index, _processes(card)) for card in context.cards]) if context.cards else None


def _processes(card: Card) -> Finding:
    texts: dict[object, str] = {}
    severities: list[Severity] = []
    kinds: dict[str, Severity] = {"Compute": "error" if card.used else "warning", "Graphics": "warning"}
    for kind, bad in kinds.items():
        try:
            listed = card.read(f"nvmlDeviceGet{kind}RunningProcesses")
        except Unreadable as reason:
            texts[kind], listed = f"{kind.lower()} processes {reason}", []
            severities.append("info")
        for process in listed:
            if process.pid != os.getpid() and process.pid not in texts:
                texts[process.pid] = _describe(card, process)
                severities.append(bad)
    return Finding(worst(severities), ", ".join(texts.values()) or "no process")


def _describe(card: Card, process: Any) -> str:
    try:
        name = call(card.nvml, "nvmlSystemGetProcessName", process.pid)
    except Unreadable:  # of another container, or of another user
        name = "name not reported"
    name = name.decode(errors="replace") if isinstance(name, bytes) else name
    used = process.usedGpuMemory
    return f"pid {process.pid} ({name}, {'memory not reported' if used is None else size_text(used)})"


def persistence(card: Card, context: Context) -> Finding:
    if card.read("nvmlDeviceGetPersistenceMode") == card.nvml.NVML_FEATURE_ENABLED:
        return Finding("ok", "on")
    return Finding("warning", "off", commands=(Command(card.smi("-pm", 1)),))


def application_clocks(card: Card, context: Context) -> Finding:
    """The clocks that a user has set. The default is not a limit: the card boosts above it by itself."""
    kinds = (card.nvml.NVML_CLOCK_GRAPHICS, card.nvml.NVML_CLOCK_MEM)
    clocks, highest = (
        [card.read(f"nvmlDeviceGet{which}", kind) for kind in kinds] for which in ("ApplicationsClock", "MaxClockInfo")
    )
    default = [card.maybe("nvmlDeviceGetDefaultApplicationsClock", kind) for kind in kinds]
    text = "graphics {}, memory {} MHz"
    found = f"{text.format(*clocks)} of at most {text.format(*highest)}"
    if clocks == default:
        return Finding("ok", f"{found}; the default, which allows boost above it")
    if all(clock >= high for clock, high in zip(clocks, highest, strict=True)):
        return Finding("ok", found)
    command = Command(card.smi("-ac", f"{highest[1]},{highest[0]}"), clocks=True)
    return Finding("warning", f"{found}; set by a user", commands=(command,))


def clocks_now(card: Card, context: Context) -> Finding:
    sm, memory, sm_highest, memory_highest = (
        card.read(f"nvmlDeviceGet{which}", kind)
        for which in ("ClockInfo", "MaxClockInfo")
        for kind in (card.nvml.NVML_CLOCK_SM, card.nvml.NVML_CLOCK_MEM)
    )
    found = f"SM {sm} of {sm_highest} MHz, memory {memory} of {memory_highest} MHz"
    reasons = throttle_reasons(card)
    if reasons & card.nvml.nvmlClocksThrottleReasonGpuIdle:
        return Finding("ok", f"{found}, idle")
    if reasons == 0 and sm < AWAKE_SHARE * sm_highest:
        command = Command(card.smi("-lgc", f"{sm_highest},{sm_highest}"), clocks=True)
        return Finding("warning", f"{found}, neither idle nor throttled: locked?", commands=(command,))
    return Finding("ok", found)


def throttle_reasons(card: Card) -> int:
    """NVML's bit mask of the reasons for lower clocks, by its name since driver 535 or by the older one."""
    reasons = card.maybe("nvmlDeviceGetCurrentClocksEventReasons")
    return int(card.read("nvmlDeviceGetCurrentClocksThrottleReasons") if reasons is None else reasons)


def is_idle(card: Card) -> bool:
    """Whether the card has nothing to do, or does not report it."""
    try:
        return bool(throttle_reasons(card) & card.nvml.nvmlClocksThrottleReasonGpuIdle)
    except Unreadable:
        return True


def throttling(card: Card, context: Context) -> Finding:
    unknown = reasons = throttle_reasons(card)
    found: dict[str, Severity] = {}
    for constant, text, severity in REASONS:
        bit = getattr(card.nvml, constant)
        if reasons & bit:
            unknown &= ~bit
            found[text] = severity
    if unknown:  # of a driver newer than this table
        found[f"reason {unknown:#x}"] = "warning"
    return Finding(worst(found.values()), ", ".join(found) or "none")


def power_limit(card: Card, context: Context) -> Finding:
    limit_w = round(card.read("nvmlDeviceGetEnforcedPowerLimit") / 1000)
    default_w = round(card.read("nvmlDeviceGetPowerManagementDefaultLimit") / 1000)
    found = f"{limit_w} W of {default_w} W"
    if limit_w < default_w:
        return Finding("warning", found, f"{' '.join(card.smi('-pl', default_w))}, if whoever set it agrees")
    return Finding("ok", found)


def ecc(card: Card, context: Context) -> Finding:
    """Memory errors since the driver was loaded, and repairs that wait for a reset."""
    nvml = card.nvml
    now, pending = card.read("nvmlDeviceGetEccMode")
    uncorrected, corrected = (
        card.maybe("nvmlDeviceGetTotalEccErrors", kind, nvml.NVML_VOLATILE_ECC)
        for kind in (nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED)
    )
    _, _, remap_pending, remap_failed = card.maybe("nvmlDeviceGetRemappedRows") or (0, 0, 0, 0)
    retire_pending = card.maybe("nvmlDeviceGetRetiredPagesPendingStatus") or 0
    texts = ["on" if now else "off"]
    counts = ("not reported" if count is None else count for count in (uncorrected, corrected))
    texts += ["uncorrected errors {}, corrected {}".format(*counts)] if now else []
    doubts = {
        f"{'on' if pending else 'off'} after the next reset": now != pending,
        "memory waits for a reset to be repaired": bool(remap_pending or retire_pending),
        "memory could not be repaired": bool(remap_failed),
    }
    texts += [text for text, so in doubts.items() if so]
    severity: Severity = "error" if uncorrected else "warning" if any(doubts.values()) else "ok" if now else "info"
    return Finding(severity, ", ".join(texts))


def mig(card: Card, context: Context) -> Finding:
    now, pending = card.read("nvmlDeviceGetMigMode")
    if now:
        return Finding("error", "on")
    return Finding("warning", "off, but on after the next reset") if pending else Finding("ok", "off")
