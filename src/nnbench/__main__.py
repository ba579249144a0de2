"""`python -m nnbench` is `nnbench`."""

from nnbench.cli import main

if __name__ == "__main__":
    main()
