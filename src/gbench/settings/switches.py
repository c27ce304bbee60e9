"""Speed profiles: who chooses the switches of `speed`, and where a switch has no effect (docs/speed-switches.md)."""

from collections.abc import Mapping
from typing import Any, get_args

from gbench.errors import UsageError
from gbench.settings.literals import SpeedProfile
from gbench.settings.model_config import SpeedConfig
from gbench.settings.spec import RunSpec

# What `gbench tune` tries, in this order, each on top of those kept before it. The worker also tries threads, if it has
# fewer cores than threads.
CANDIDATES: tuple[dict[str, Any], ...] = (
    {"channels_last": True},
    {"adam": "fused"},
    {"adam": "foreach"},
    {"compile": "blocks"},
    {"compile": "networks"},
    {"static_graph": True},
    {"cuda_graph": True},
)


def profile_of(asked: str | None, speed: SpeedConfig) -> SpeedProfile:
    """The profile of a run with these switches and --profile, before any tuning is applied.

    Raises UsageError: the profile is unknown, or contradicts the switches.
    """
    if asked is not None and asked not in get_args(SpeedProfile):
        raise UsageError(f"--profile {asked!r} is not known", f"choose one of {', '.join(get_args(SpeedProfile))}")
    if asked == "custom" and not speed.on:
        raise UsageError(
            "--profile custom is for switches of your own, and none is given", "add one: --set speed.channels_last=true"
        )
    if asked in ("reference", "optimized") and speed.on:
        raise UsageError(
            f"--profile {asked} decides the switches by itself, and {written(speed.on)} is given as well",
            "leave one of the two out; switches that you choose make the profile custom",
        )
    return "custom" if speed.on else "optimized" if asked == "optimized" else "reference"


def describe(profile: str, switches: Mapping[str, Any]) -> str:
    """A profile and its switches on one line: `optimized: adam=fused channels_last=true`."""
    if profile == "reference":
        return profile
    return f"{profile}: {written(switches, prefix='') or 'no switch is on'}"


def written(switches: Mapping[str, Any], prefix: str = "speed.") -> str:
    """Switches as `--set` takes them, sorted by name."""
    return " ".join(f"{prefix}{key}={setting(value)}" for key, value in sorted(switches.items()))


def setting(value: Any) -> str:
    """A value of the config as `--set` takes it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def why_not(spec: RunSpec, speed: SpeedConfig) -> tuple[str, str] | None:
    """Why these switches have no effect in a run, as (what is wrong, what to do); None if they do have one."""
    if speed.threads is not None and spec.device != "cpu":
        return "speed.threads is for --device cpu: a GPU has none to set", "leave it out"
    if speed.compile == "blocks" and not spec.config.network.netG.startswith("resnet"):
        netG = spec.config.network.netG
        return f"speed.compile=blocks is for residual blocks, {netG} has none", "take speed.compile=networks"
    for switch in ("gradient_as_bucket_view", "static_graph"):
        if getattr(speed, switch) and spec.world_size == 1:
            return f"speed.{switch} is for the exchange of gradients, one device has none", "leave it out"
    if speed.cuda_graph:
        if spec.device != "cuda":
            return f"speed.cuda_graph needs a GPU, --device {spec.device} has no CUDA graphs", "leave it out"
        if spec.precision == "AMP":
            why = "speed.cuda_graph can't capture AMP's GradScaler, which waits for the device"
            return why, "take BF16, or leave it out"
    return None
