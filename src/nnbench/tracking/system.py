"""What the machine does while runs run, in the names under which MLflow draws its system panel."""

from __future__ import annotations

import shutil
import subprocess
import time

import psutil

from nnbench.records.run import RunResult
from nnbench.tracking.content import Metric, started


class SystemMetrics:
    """Readings of processor, memory and NVIDIA GPU; the step is the second of the run."""

    def __init__(self) -> None:
        psutil.cpu_percent()  # the first reading is of no time at all
        self._gpu = shutil.which("nvidia-smi")

    def metrics(self, run: RunResult) -> list[Metric]:
        """Return the readings of now, for `run`."""
        now = time.time()
        step = max(0, round(now - started(run)))
        return [Metric(key, value, round(1000 * now), step) for key, value in self._read().items()]

    def _read(self) -> dict[str, float]:
        memory = psutil.virtual_memory()
        found = {
            "system/cpu_utilization_percentage": psutil.cpu_percent(),
            "system/system_memory_usage_megabytes": memory.used / 1e6,
            "system/system_memory_usage_percentage": memory.percent,
        }
        return found | (self._read_gpus() if self._gpu else {})

    def _read_gpus(self) -> dict[str, float]:
        asked = "utilization.gpu,memory.used,memory.total,power.draw"
        try:
            done = subprocess.run(
                [str(self._gpu), f"--query-gpu={asked}", "--format=csv,noheader,nounits"],
                capture_output=True,
                text=True,
                timeout=2,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return {}
        found: dict[str, float] = {}
        for i, line in enumerate(done.stdout.strip().splitlines()):
            try:
                busy, used, total, power = (float(value) for value in line.split(","))
            except ValueError:  # a card that does not tell
                continue
            found |= {
                f"system/gpu_{i}_utilization_percentage": busy,
                f"system/gpu_{i}_memory_usage_megabytes": used * 1.048576,
                f"system/gpu_{i}_memory_usage_percentage": 100 * used / total,
                f"system/gpu_{i}_power_usage_watts": power,
            }
        return found
