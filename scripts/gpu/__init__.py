"""The whole proof on a GPU: what `scripts/gpu_check` runs, a module for each part."""
