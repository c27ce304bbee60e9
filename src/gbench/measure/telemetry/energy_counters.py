"""The processor's energy counters (RAPL) in Linux's /sys/class/powercap; AMD's have the same names.

Since 2020 (CVE-2020-8694) only root can read them. `psys` is not read, as it includes the packages.
"""

from pathlib import Path

from gbench.measure.telemetry.samples import MissingLog, RaplDomain

POWERCAP = Path("/sys/class/powercap")


class RaplReader:
    """Reads the counters of all packages and of their memory (`dram`), or none if any is unreadable."""

    def __init__(self, root: Path, missing: MissingLog) -> None:
        self._missing = missing
        self._counters: dict[Path, RaplDomain] = {}
        folders = sorted(root.glob("intel-rapl:*"))  # not intel-rapl-mmio:*, which are the same packages
        if not folders:
            missing.add("rapl", f"no intel-rapl:* below {root}")
        try:
            for folder in folders:
                name = (folder / "name").read_text(encoding="ascii").strip()
                if name.startswith("package") or name == "dram":
                    self._counters[folder / "energy_uj"] = RaplDomain(
                        f"{folder.name} {name}", int((folder / "max_energy_range_uj").read_text())
                    )
            for counter in self._counters:
                counter.read_text()
        except (OSError, ValueError) as error:
            missing.add("rapl", f"{folder.name}: {_why(error)}")
            self._counters = {}

    @property
    def domains(self) -> list[RaplDomain]:
        """The domains that `read` returns, in its order."""
        return list(self._counters.values())

    def read(self) -> list[int | None]:
        """Microjoules of each domain; None where it can't be read."""
        return [self._value(path, domain) for path, domain in self._counters.items()]

    def _value(self, path: Path, domain: RaplDomain) -> int | None:
        try:
            return int(path.read_text())
        except (OSError, ValueError) as error:
            self._missing.add(f"rapl {domain.name}", _why(error))
            return None


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, PermissionError):
        return "only root may read it"
    return str(error.strerror if isinstance(error, OSError) else error)
