"""The `gbench` command, also as `python -m gbench`."""

from gbench.base.terminated import end_with_a_sentence


def main() -> None:
    """Handle SIGTERM and SIGHUP, then load the command, which takes a tenth of a second."""
    end_with_a_sentence()
    from gbench.cli import main as command

    command()


if __name__ == "__main__":
    main()
