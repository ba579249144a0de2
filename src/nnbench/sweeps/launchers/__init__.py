"""How the runs of a sweep are started: here one by one or side by side, or by SLURM."""
