"""`nnbench doctor`: what is usable on this machine, and the remedy for what is not."""

from nnbench.cli.doctor.page import command

__all__ = ["command"]
