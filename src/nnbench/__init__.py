"""nnbench: fair comparisons of neural-network frameworks.

`nnbench.run(["backend=torch", "seed=1"])` trains one run in a fresh process and returns its
RunResult; `nnbench.runs()` returns every recorded run as a DataFrame. Importing nnbench loads no
framework.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nnbench.api import run, runs

__all__ = ["__version__", "run", "runs"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in {"run", "runs"}:
        from nnbench import api

        return getattr(api, name)
    raise AttributeError(f"module 'nnbench' has no attribute {name!r}")
