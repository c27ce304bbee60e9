"""The `gbench` command, also as `python -m gbench`."""

import signal

from gbench.base.terminated import on_sigterm


def main() -> None:
    """Handle SIGTERM, then load the command, which takes a tenth of a second."""
    signal.signal(signal.SIGTERM, on_sigterm)
    from gbench.cli import main as command

    command()


if __name__ == "__main__":
    main()
