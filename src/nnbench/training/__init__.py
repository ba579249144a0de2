"""One run in a process of its own: the worker, the epochs, the clock, checkpoints."""
