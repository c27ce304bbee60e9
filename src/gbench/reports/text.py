"""Format text for people: labels from keys, values with units."""

from collections.abc import Iterator
from typing import Any

from gbench.base.size import size_text

SPELLINGS = {
    **{word: word.upper() for word in ("cpu", "cuda", "fp32", "gemm", "id", "nccl", "os", "tf32", "uuid")},
    "cpus": "CPUs",
    "cudnn": "cuDNN",
    "dirty": "uncommitted changes",
    "gbench": "gbench",
    "gpus": "GPUs",
    "sm": "SM",
    "mem": "memory",
    "pytorch": "PyTorch",
    "sha256": "SHA-256",
    "torchvision": "torchvision",
}
WHOLE = {"cpu_mhz": "CPU clock", "cpu_percent": "CPU load"}  # keys that differ only in their unit


# suffix of a key -> unit in which its value is shown; a suffix must precede the shorter ones that it ends with
UNITS = {
    "_tflop_s": "TFLOP/s",
    "_gb_s": "GB/s",
    "_img_s": "img/s",
    "_bytes": "",  # by `size_text`
    "_share": "%",
    "_percent": "%",
    "_mhz": "MHz",
    "_hz": "Hz",
    "_w": "W",
    "_c": "°C",
    "_s": "s",
}


def label(key: str) -> str:
    """`pytorch_version` -> `PyTorch version`; without the key's unit, which is shown with the value."""
    text = _words(key)
    return text if text.startswith(("cuDNN", "gbench", "torchvision")) else capitalized(text)


def capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def rows(values: dict[str, Any], within: str = "", unit: str = "") -> Iterator[tuple[str, str]]:
    """Label and value of every fact, nested ones too: `("CPU, cores", "64")`. unit: of values whose keys name none."""
    for key, value in values.items():
        name, own = f"{within}, {_words(key)}" if within else label(key), _unit(key) or unit
        if isinstance(value, dict) and value.keys() == {"mean", "min", "max"}:
            mean, least, most = (_shown(value[part], own) for part in ("mean", "min", "max"))
            yield name, f"{mean} ({least} to {most})"
        elif isinstance(value, dict):
            yield from rows(value, name, own)
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            for index, item in enumerate(value):
                yield from rows(item if isinstance(item, dict) else {"value": item}, f"{name} {index}")
        else:
            yield name, _shown(value, own)


def _shown(value: Any, end: str) -> str:
    """A value as text; a number in the unit of its key's suffix `end`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return plain(value)
    if end == "_bytes":
        return size_text(value)
    number = value * 100 if end == "_share" else value
    return f"{four(number) if isinstance(number, float) else plain(number)} {UNITS.get(end, '')}".strip()


def _words(key: str) -> str:
    bare = key.removesuffix(_unit(key)) or key
    return WHOLE.get(key) or " ".join(SPELLINGS.get(word, word) for word in bare.split("_"))


def _unit(key: str) -> str:
    """The suffix of a key that names its unit; empty if there is none."""
    return next((end for end in UNITS if key.endswith(end)), "")


def plain(value: Any) -> str:
    """A JSON value as readable text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(plain(item) for item in value) or "none"
    return "–" if value is None or value == "" else str(value)


def seconds(time_s: float) -> str:
    """A time to four significant figures, in ms below one second."""
    return f"{four(time_s)} s" if time_s >= 0.99995 else f"{four(time_s * 1e3)} ms"


def four(number: float) -> str:
    """A number to four significant figures, without an exponent if it is large: `0.1230`, `33.38`, `12,345`."""
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:#.4g}".rstrip(".")


def flops(tflop_s: float) -> str:
    """Operations per second, in GFLOP/s below one TFLOP/s."""
    return f"{four(tflop_s)} TFLOP/s" if tflop_s >= 0.99995 else f"{four(tflop_s * 1e3)} GFLOP/s"


def signed(share: float) -> str:
    """A relative change: `+7.4%`, `−6.2%`."""
    return f"{share:+.1%}".replace("-", "−")


def utc(text: Any) -> str:
    """`2026-01-01T00:00:00.123+00:00` -> `2026-01-01 00:00:00 UTC`; other text unchanged."""
    written = plain(text)
    if len(written) >= 19 and written[10] == "T" and written.endswith("+00:00"):
        return f"{written[:10]} {written[11:19]} UTC"
    return written
