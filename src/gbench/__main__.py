"""The `gbench` command, also as `python -m gbench`."""

import gc

from gbench.base.terminated import end_with_a_sentence, leave


def main() -> None:
    """Handle SIGTERM and SIGHUP, then load the command, which takes a tenth of a second."""
    end_with_a_sentence()
    gc.set_threshold(20_000)  # of Python's 700, collections took a tenth of the time of imports and of long histories
    from gbench.cli import main as command

    try:
        command()
    except SystemExit as error:
        leave(error)


if __name__ == "__main__":
    main()
