"""`python -m gbench` is `gbench`."""

from gbench.cli import main

if __name__ == "__main__":
    main()
