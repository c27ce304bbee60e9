"""How to start a module in this Python environment."""

import sys

# No module is looked up in the working folder, which may be a stranger's. Python 3.10 has no such option.
SAFE_PATH = ["-P"] if sys.version_info >= (3, 11) else []


def module_argv(module: str, python: str = "") -> list[str]:
    """The beginning of the command line of a module. python: another interpreter, whose version is not known."""
    own = python in ("", sys.executable)
    return [python or sys.executable, *(SAFE_PATH if own else ()), "-m", module]
