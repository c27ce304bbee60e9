"""Every GPU check on simulated cards, through a fake NVML."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pynvml
import pytest

import gbench.preflight
from fake_nvml import GRAPHICS, LINKS, MEMORY, NOT_SUPPORTED, clocks, links, process
from gbench.errors import InfrastructureError
from gbench.machine.gpus import find_gpus, require_devices
from gbench.preflight.check_table import RULES
from gbench.runfolder.host_facts import CheckFacts
from gbench.settings.request import Request
from gbench.settings.resolve import resolve

Nvml = Callable[..., ModuleType]
CheckOne = Callable[..., CheckFacts]
CARD_RULES = [rule.id for rule in RULES if rule.id.startswith("gpu-") and rule.id not in ("gpu-cuda", "gpu-numa")]
THROTTLE = {
    name.removeprefix("nvmlClocksThrottleReason"): {"CurrentClocksEventReasons": getattr(pynvml, name)}
    for name in dir(pynvml)
    if name.startswith("nvmlClocksThrottleReason")
}
LOW_APPLICATION_CLOCKS = clocks(ApplicationsClock={GRAPHICS: 1200, MEMORY: 2619})
UNTOLD = pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN)


@pytest.mark.parametrize("rule", CARD_RULES)
def test_cards_as_they_should_be(check_one: CheckOne, nvml: Nvml, rule: str) -> None:
    module = nvml({}, {})
    check = check_one(rule)
    assert check.severity == "ok"
    assert check.found.startswith("GPU 0-1: ")
    assert check.fix == ""
    assert check.commands == []
    assert module.open == 0


@pytest.mark.parametrize(
    ("rule", "card", "severity", "found"),
    [
        ("gpu-persistence", {"PersistenceMode": 0}, "warning", "off"),
        ("gpu-application-clocks", LOW_APPLICATION_CLOCKS, "warning", "graphics 1200, memory 2619 MHz of at most"),
        (
            "gpu-application-clocks",  # V100: the default is no limit
            clocks(
                ApplicationsClock={GRAPHICS: 1312, MEMORY: 877},
                DefaultApplicationsClock={GRAPHICS: 1312, MEMORY: 877},
                MaxClockInfo={GRAPHICS: 1530, MEMORY: 877},
            ),
            "ok",
            "the default, which allows boost above it",
        ),
        (
            "gpu-application-clocks",
            {"ApplicationsClock": pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)},
            "info",
            "not supported here",
        ),
        ("gpu-clocks", {}, "ok", "SM 345 of 1980 MHz, memory 2619 of 2619 MHz, idle"),
        ("gpu-clocks", THROTTLE["None"], "warning", "neither idle nor throttled: locked?"),
        ("gpu-clocks", THROTTLE["SwPowerCap"], "ok", "SM 345 of 1980 MHz"),  # gpu-throttling says it
        ("gpu-throttling", THROTTLE["None"], "ok", "none"),
        ("gpu-throttling", THROTTLE["HwSlowdown"], "error", "hardware slowdown"),
        ("gpu-throttling", THROTTLE["HwThermalSlowdown"], "error", "too hot (hardware)"),
        ("gpu-throttling", THROTTLE["SwThermalSlowdown"], "error", "too hot (driver)"),
        ("gpu-throttling", THROTTLE["HwPowerBrakeSlowdown"], "error", "power brake"),
        ("gpu-throttling", THROTTLE["SwPowerCap"], "warning", "power cap"),
        ("gpu-throttling", THROTTLE["ApplicationsClocksSetting"], "info", "application clocks"),
        ("gpu-throttling", {"CurrentClocksEventReasons": 1 << 40}, "warning", "reason 0x10000000000"),
        ("gpu-throttling", {"CurrentClocksEventReasons": 0x4 | 0x40}, "error", "power cap, too hot (hardware)"),
        # a driver before 535 has only the older name
        (
            "gpu-throttling",
            {"CurrentClocksEventReasons": NOT_SUPPORTED, "CurrentClocksThrottleReasons": 8},
            "error",
            "hardware slowdown",
        ),
        ("gpu-power-limit", {"EnforcedPowerLimit": 400_000}, "warning", "400 W of 700 W"),
        ("gpu-power-limit", {"EnforcedPowerLimit": UNTOLD}, "info", "not reported (Unknown Error)"),
        (
            "gpu-ecc",
            {"TotalEccErrors": lambda kind, _: int(kind == 1)},
            "error",
            "on, uncorrected errors 1, corrected 0",
        ),
        ("gpu-ecc", {"TotalEccErrors": lambda kind, _: int(kind == 0)}, "ok", "on, uncorrected errors 0, corrected 1"),
        ("gpu-ecc", {"TotalEccErrors": UNTOLD}, "ok", "on, uncorrected errors not reported, corrected not reported"),
        ("gpu-ecc", {"EccMode": [0, 0]}, "info", "off"),
        ("gpu-ecc", {"EccMode": [1, 0]}, "warning", "off after the next reset"),
        ("gpu-ecc", {"RemappedRows": (0, 1, 1, 0)}, "warning", "memory waits for a reset to be repaired"),
        ("gpu-ecc", {"RemappedRows": (0, 1, 0, 1)}, "warning", "memory could not be repaired"),
        ("gpu-ecc", {"RetiredPagesPendingStatus": 1}, "warning", "memory waits for a reset to be repaired"),
        ("gpu-ecc", {"EccMode": NOT_SUPPORTED}, "info", "not supported here"),
        ("gpu-mig", {"MigMode": [1, 1]}, "error", "on"),
        ("gpu-mig", {"MigMode": [0, 1]}, "warning", "off, but on after the next reset"),
        ("gpu-mig", {"MigMode": NOT_SUPPORTED}, "info", "not supported here"),
        ("gpu-pcie-link", {"CurrPcieLinkWidth": 8}, "warning", "generation 5 x8 of 5 x16: lanes are missing"),
        ("gpu-pcie-link", {"CurrPcieLinkGeneration": 1}, "ok", "generation 1 x16 of 5 x16, idle"),
        (
            "gpu-pcie-link",
            {"CurrPcieLinkGeneration": 1, "CurrentClocksEventReasons": 0},
            "warning",
            "generation 1 x16 of 5 x16: slow although busy",
        ),
        (
            "gpu-pcie-link",
            {"CurrPcieLinkGeneration": 4, "MaxPcieLinkGeneration": 4},
            "warning",
            "the slot can do generation 4 only",
        ),
        ("gpu-nvlink", links(4), "info", f"4 of {LINKS} links up; not needed by one GPU"),
        ("gpu-nvlink", {"NvLinkState": NOT_SUPPORTED}, "info", "not supported here"),
        ("gpu-processes", {"ComputeRunningProcesses": [process(7, 1.5)]}, "error", "pid 7 (/usr/bin/job7, 1.50 GiB)"),
        ("gpu-processes", {"ComputeRunningProcesses": [process(7, None)]}, "error", "job7, memory not reported)"),
        ("gpu-processes", {"GraphicsRunningProcesses": [process(9, 0.1)]}, "warning", "pid 9 (/usr/bin/job9, 102 MiB)"),
        (
            "gpu-processes",
            {"ComputeRunningProcesses": NOT_SUPPORTED},
            "info",
            "compute processes not supported here",
        ),
        (  # a driver that lacks nvmlDeviceGetComputeRunningProcesses_v3
            "gpu-processes",
            {"ComputeRunningProcesses": pynvml.NVMLLibraryMismatchError("does not match the NVML lib version")},
            "info",
            "compute processes not reported by this driver",
        ),
    ],
)
def test_a_card_that_differs(
    check_one: CheckOne, nvml: Nvml, rule: str, card: dict[str, Any], severity: str, found: str
) -> None:
    nvml(card)
    check = check_one(rule)
    assert check.severity == severity
    assert check.found.startswith("GPU 0: ")
    assert found in check.found
    assert bool(check.fix) == (severity in ("warning", "error"))


def test_the_worst_card_decides_and_equal_ones_share_a_text(check_one: CheckOne, nvml: Nvml) -> None:
    nvml({}, {}, {"PersistenceMode": 0}, {}, {"PersistenceMode": NOT_SUPPORTED})
    check = check_one("gpu-persistence")
    assert check.severity == "warning"
    assert check.found == "GPU 0-1, 3: on; GPU 2: off; GPU 4: not supported here"
    assert [command.argv for command in check.commands] == [("nvidia-smi", "-i", "2", "-pm", "1")]


def test_the_commands_for_clocks_are_marked(check_one: CheckOne, nvml: Nvml) -> None:
    nvml({}, {**LOW_APPLICATION_CLOCKS, **THROTTLE["None"]})
    (command,) = check_one("gpu-application-clocks").commands
    assert command.clocks
    assert command.argv == ("nvidia-smi", "-i", "1", "-ac", "2619,1980")
    (command,) = check_one("gpu-clocks").commands
    assert command.clocks
    assert command.argv == ("nvidia-smi", "-i", "1", "-lgc", "1980,1980")


def test_links_between_several_cards_count(check_one: CheckOne, nvml: Nvml) -> None:
    nvml({}, links(4))
    assert check_one("gpu-nvlink").severity == "warning"
    nvml(links(0), links(0))  # PCIe cards without bridges
    assert check_one("gpu-nvlink").severity == "info"


def test_only_the_cards_of_the_run_can_make_it_unfit(check_one: CheckOne, nvml: Nvml) -> None:
    nvml({}, {"PersistenceMode": 0, "ComputeRunningProcesses": [process(7, 1)]})
    assert check_one("gpu-persistence", device_count=1).found == "GPU 0: on"
    check = check_one("gpu-processes", device_count=1)
    assert check.severity == "warning"
    assert check.found == "GPU 0: no process; GPU 1: pid 7 (/usr/bin/job7, 1.00 GiB)"
    assert check_one("gpu-processes").severity == "error"


def test_an_older_binding_without_a_function_is_no_failure(check_one: CheckOne, nvml: Nvml) -> None:
    module = nvml({})
    del module.nvmlDeviceGetMigMode
    check = check_one("gpu-mig")
    assert (check.severity, check.found) == ("info", "GPU 0: not reported by this version of nvidia-ml-py")


@pytest.mark.parametrize(
    ("code", "fix"),
    [
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "reboot"),
        (pynvml.NVML_ERROR_NO_PERMISSION, "open /dev/nvidia*"),
        (pynvml.NVML_ERROR_UNKNOWN, "restart the container"),
        (pynvml.NVML_ERROR_OPERATING_SYSTEM, "control group"),
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "install the NVIDIA driver"),
        (pynvml.NVML_ERROR_TIMEOUT, "see what nvidia-smi says"),
    ],
)
def test_why_the_driver_does_not_start(check_one: CheckOne, nvml: Nvml, code: int, fix: str) -> None:
    nvml(init=pynvml.NVMLError(code))
    assert fix in check_one("gpu").fix
    with pytest.raises(InfrastructureError, match=re.escape(fix)):
        require_devices(resolve(Request("pix2pix_unet_256", 1, 1, "FP32"), {}).spec, find_gpus())


def test_no_driver_is_one_error_and_no_other_gpu_check(check_one: CheckOne, nvml: Nvml) -> None:
    nvml(init=pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND))
    assert check_one("gpu").severity == "error"
    for rule in (*CARD_RULES, "gpu-cuda", "gpu-numa", "pcie-acs"):
        assert check_one(rule) is None


def test_gpu_lists_cards_and_driver(check_one: CheckOne, nvml: Nvml) -> None:
    nvml({}, {"Name": "Tesla V100-PCIE-32GB"})
    found = check_one("gpu").found
    assert found == "0: NVIDIA H100 80GB HBM3, 1: Tesla V100-PCIE-32GB; driver 570.86.10"


@pytest.mark.parametrize(
    ("node", "allowed", "runner", "severity", "found"),
    [
        ("1", "16-31", "local", "ok", "at node 1, CPUs 16-31; bound to them"),
        ("1", "0-31", "local", "info", "at node 1, CPUs 16-31; not bound to them"),
        ("1", "0-15", "local", "warning", "at node 1, CPUs 16-31; this process may use only 0-15"),
        ("1", "0-15", "docker", "info", "at node 1, CPUs 16-31"),
        ("-1", "0-15", "local", "info", "its NUMA node is not reported"),  # of a virtual machine
    ],
)
def test_numa(
    check_one: CheckOne,
    nvml: Nvml,
    tree: Callable[[dict[str, str]], Path],
    node: str,
    allowed: str,
    runner: str,
    severity: str,
    found: str,
) -> None:
    nvml({"PciInfo": SimpleNamespace(busId=b"00000000:3B:00.0")})
    device = "sys/bus/pci/devices/0000:3b:00.0"
    root = tree(
        {
            f"{device}/numa_node": node,
            f"{device}/local_cpulist": "16-31\n",
            "sys/devices/system/node/node0/cpulist": "0-15",
            "sys/devices/system/node/node1/cpulist": "16-31",
            "proc/self/status": f"Cpus_allowed_list:\t{allowed}\n",
        }
    )
    check = check_one("gpu-numa", root, runner=runner)
    assert (check.severity, check.found) == (severity, f"GPU 0: {found}")
    if severity == "warning":
        assert "numactl --cpunodebind=1 --membind=1" in check.fix


def test_one_numa_node_is_near_to_all(check_one: CheckOne, nvml: Nvml, tree: Callable[[dict[str, str]], Path]) -> None:
    nvml({})
    root = tree({"sys/bus/pci/devices/0000:3b:00.0/numa_node": "-1", "sys/devices/system/node/node0/cpulist": "0-15"})
    check = check_one("gpu-numa", root)
    assert (check.severity, check.found) == ("ok", "GPU 0: one NUMA node")


LSPCI = """\
00:00.0 Host bridge: Intel Corporation Device 1237
	Flags: bus master

3a:00.0 PCI bridge: Intel Corporation Sky Lake-E PCI Express Root Port A (rev 07)
	Capabilities: [110 v1] Access Control Services
		ACSCap:	SrcValid+ TransBlk+ ReqRedir+ CmpltRedir+ UpstreamFwd+ EgressCtrl- DirectTrans-
		ACSCtl:	SrcValid{a} TransBlk- ReqRedir{a} CmpltRedir{a} UpstreamFwd{a} EgressCtrl- DirectTrans-

5d:02.0 PCI bridge: Intel Corporation Sky Lake-E PCI Express Root Port C (rev 07)
	Capabilities: [110 v1] Access Control Services
		ACSCtl:	SrcValid{b} TransBlk- ReqRedir- CmpltRedir- UpstreamFwd- EgressCtrl- DirectTrans-
"""


@pytest.mark.parametrize(
    ("cards", "text", "severity", "found"),
    [
        (2, LSPCI.format(a="-", b="-"), "ok", "off, or not there"),
        (2, LSPCI.format(a="+", b="-"), "error", "on at 1 bridges: 3a:00.0"),
        (2, LSPCI.format(a="+", b="+"), "error", "on at 2 bridges: 3a:00.0, 5d:02.0"),
        (1, LSPCI.format(a="+", b="-"), "info", "on at 1 bridges: 3a:00.0; harmless with one GPU"),
        (2, "3a:00.0 PCI bridge: Intel\n\tCapabilities: <access denied>\n", "info", "lspci shows it to root only"),
    ],
)
def test_acs(
    check_one: CheckOne,
    nvml: Nvml,
    tool: Callable[[str, str], Path],
    cards: int,
    text: str,
    severity: str,
    found: str,
) -> None:
    nvml(*[{}] * cards)
    tool("lspci", f"cat <<'END'\n{text}END")
    check = check_one("pcie-acs")
    assert (check.severity, check.found) == (severity, found)


def test_every_name_of_nvml_in_the_source_is_a_real_one() -> None:
    folder = Path(gbench.preflight.__file__).parent
    names = {name for path in folder.glob("*.py") for name in re.findall(r"\b(?:nvml|NVML_)[A-Z]\w+", path.read_text())}
    for family in ("ClockInfo", "MaxClockInfo", "ApplicationsClock", "ComputeRunningProcesses"):
        names.add(f"nvmlDeviceGet{family}")
    names.discard("nvmlDeviceGet")
    assert len(names) > 30
    assert [name for name in names if not hasattr(pynvml, name)] == []
