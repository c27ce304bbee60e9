"""Load a generator's weights from gbench's checkpoints or upstream's latest_net_G.pth, current or old."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from gbench.errors import UsageError

# What wrappers put into keys: DataParallel and DistributedDataParallel, and torch.compile, in any order
WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.)+|(?<=\.)_orig_mod\.")
SECOND = re.compile(r"\.conv_block\.([56])\.weight$")  # a ResNet block's second convolution; 6: after a dropout
COUNTER = ".num_batches_tracked"  # of batch norm since torch 0.4.1; older files lack it, and nothing here uses it


def generator_weights(values: Any, name: str) -> dict[str, Any]:
    """A checkpoint file's generator, under the keys of a bare network. Raises UsageError: the file `name` has none."""
    try:
        if isinstance(values, Mapping) and "model" in values:
            values = values["model"]["generator"]
        weights = {WRAPPERS.sub("", str(key)): value for key, value in values.items()}
    except (AttributeError, KeyError, TypeError):
        weights = {}
    if not any(isinstance(value, Tensor) for value in weights.values()):
        raise UsageError(
            f"{name} holds no weights of a generator", "give a run folder, an epoch-NNNN.pt or a latest_net_G.pth"
        )
    return weights


def load_generator(network: nn.Module, weights: dict[str, Any], name: str, model: str) -> None:
    """Load weights into a generator, without the unused statistics of instance norm that old files of upstream contain.

    Raises UsageError: the weights are another network's; names the first key that doesn't fit.
    """
    expected = network.state_dict()
    stray = {key for key in weights.keys() - expected.keys() if _unused(network, key)}
    problem = next(_misfits(expected, {key: value for key, value in weights.items() if key not in stray}), None)
    if problem is not None:
        hint = "name its own model with --model, and what differs from the config with --set network.KEY=VALUE"
        own, asked = _has_dropout(weights), _has_dropout(expected)
        if own is not None and asked is not None and own != asked:
            problem = f"it was trained {'with' if own else 'without'} dropout"
            hint = f"--set network.dropout={str(own).lower()}"
        raise UsageError(f"{name} does not fit {model}: {problem}", hint)
    network.load_state_dict({key: weights.get(key, expected[key]) for key in expected})


def _misfits(expected: Mapping[str, Tensor], weights: dict[str, Any]) -> Iterator[str]:
    for key, tensor in expected.items():
        value = weights.get(key)
        if value is None and key.endswith(COUNTER):
            continue
        if not isinstance(value, Tensor):
            yield f"it has no {key}"
        elif value.shape != tensor.shape:
            yield f"{key} is {_shape(value)} in it and {_shape(tensor)} in the network"
    yield from (f"it has {key}, which the network has not" for key in weights if key not in expected)


def _has_dropout(weights: Mapping[str, Any]) -> bool | None:
    """Whether a ResNet's blocks have a dropout, by the places of their convolutions; None for other networks."""
    second = [match[1] for key, value in weights.items() if (match := SECOND.search(key)) and value.ndim == 4]
    return second[0] == "6" if second else None


def _unused(network: nn.Module, key: str) -> bool:
    """Whether a key is a statistic of an instance norm that tracks none."""
    parent, _, leaf = key.rpartition(".")
    if leaf not in ("running_mean", "running_var", "num_batches_tracked"):
        return False
    try:
        return isinstance(network.get_submodule(parent), nn.InstanceNorm2d)
    except AttributeError:
        return False


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "one number"
