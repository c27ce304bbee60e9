"""Words and numbers for people: labels from keys, values with their units."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

SPELLINGS = {
    **{word: word.upper() for word in ("cpu", "cuda", "fp32", "gemm", "id", "nccl", "os", "tf32", "uuid")},
    "cudnn": "cuDNN",
    "dirty": "uncommitted changes",
    "gbench": "gbench",
    "gpus": "GPUs",
    "mem": "memory",
    "pytorch": "PyTorch",
    "sha256": "SHA-256",
    "torchvision": "torchvision",
}


UNITS = {"_tflop_s": "TFLOP/s", "_gb_s": "GB/s", "_bytes": "GiB"}  # the end of a key -> what its value is shown in


def label(key: str) -> str:
    """`pytorch_version` -> `PyTorch version`; the unit that a key names goes with the value."""
    text = _words(key)
    return text if text.startswith(("cuDNN", "gbench", "torchvision")) else text[:1].upper() + text[1:]


def rows(values: dict[str, Any], within: str = "") -> Iterator[tuple[str, str]]:
    """Label and value of every fact in a mapping, mappings in it included: `("CPU, cores", "64")`."""
    for key, value in values.items():
        name = f"{within}, {_words(key)}" if within else label(key)
        if isinstance(value, dict):
            yield from rows(value, name)
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            for index, item in enumerate(value):
                yield from rows(item if isinstance(item, dict) else {"value": item}, f"{name} {index}")
        else:
            shown = value / 2**30 if key.endswith("_bytes") and isinstance(value, int) else value
            text = four(shown) if isinstance(shown, float) else plain(shown)
            yield name, text if value is None else f"{text} {UNITS.get(key[len(_without_unit(key)) :], '')}".strip()


def _words(key: str) -> str:
    return " ".join(SPELLINGS.get(word, word) for word in _without_unit(key).split("_"))


def _without_unit(key: str) -> str:
    return next((key.removesuffix(end) for end in UNITS if key.endswith(end)), key)


def plain(value: Any) -> str:
    """A value of a JSON file as a person writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(plain(item) for item in value) or "none"
    return "–" if value is None or value == "" else str(value)


def seconds(time_s: float) -> str:
    """A time to four figures, in ms below one second."""
    return f"{four(time_s)} s" if time_s >= 0.99995 else f"{four(time_s * 1e3)} ms"


def four(number: float) -> str:
    """A number to four figures, never with an exponent where it is large: `0.1230`, `33.38`, `12,345`."""
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:#.4g}".rstrip(".")


def flops(tflop_s: float) -> str:
    """Operations a second, in GFLOP/s below one TFLOP/s."""
    return f"{four(tflop_s)} TFLOP/s" if tflop_s >= 0.99995 else f"{four(tflop_s * 1e3)} GFLOP/s"


def utc(text: Any) -> str:
    """`2026-01-01T00:00:00.123+00:00` -> `2026-01-01 00:00:00 UTC`; anything else as it is."""
    written = plain(text)
    if len(written) >= 19 and written[10] == "T" and written.endswith("+00:00"):
        return f"{written[:10]} {written[11:19]} UTC"
    return written


def count(number: int, noun: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
