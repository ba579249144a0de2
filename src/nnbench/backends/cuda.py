"""What every backend says where a GPU cannot be used: what is wrong, and what to do instead.

Frameworks each say it in their own words, some over ten lines; the signs below are theirs.
"""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple

from nnbench.errors import UnsupportedSpec

# What a trainer on a GPU tells of it, for run.json; None on the CPU.
Accelerator = dict[str, Any]


class Problem(NamedTuple):
    """`sign`: a pattern in the framework's message, of which `{0}` is the first group."""

    sign: str
    says: str
    remedy: str


PROBLEMS = (
    Problem(
        r"not compiled with cuda|built without cuda",
        "is built without CUDA",
        "install a CUDA build (pip install '.[cuda12]' or '.[cuda13]')",
    ),
    Problem(
        r"driver on your system is too old(?: \(found version (\d+)\))?|driver version is "
        r"insufficient|insufficientdriver",
        "needs a newer NVIDIA driver",
        "update the driver",
    ),
    Problem(r"no nvidia driver|libcuda\.so", "finds no NVIDIA driver", "install one"),
    Problem(
        r"no cuda gpus|no cuda-capable|nodevice",
        "sees no GPU{hidden}",
        "make one visible",
    ),
    Problem(
        r"out of memory|memoryallocation",
        "cannot start: the GPU has no memory left",
        "free some (nvidia-smi lists who holds it)",
    ),
    Problem(
        r"(lib(?:nvrtc|cublas|cudart|curand|cusolver)[\w.-]*)",
        "is built for another CUDA than is installed (it lacks {0})",
        "install the build for yours (cupy-cuda12x or cupy-cuda13x)",
    ),
)


def refusal(framework: str, error: object) -> UnsupportedSpec:
    """Return the refusal of device=cuda by `framework` (name and version), which met `error`."""
    text = " ".join(str(error).split())
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    shown = f" (CUDA_VISIBLE_DEVICES={hidden})" if hidden is not None else ""
    for sign, says, remedy in PROBLEMS:
        if match := re.search(sign, text, re.IGNORECASE):
            said = says.format(*match.groups(), hidden=shown)
            return _refused(f"{framework} {said}; {remedy}, or use device=cpu.")
    first = re.split(r"(?<=[.!?]) ", text)[0].rstrip(".")
    return _refused(f"{framework} cannot use the GPU ({first}); use device=cpu.")


def _refused(what: str) -> UnsupportedSpec:
    return UnsupportedSpec(f"Received device=cuda; {what}")
