"""nnbench: fair comparisons of neural-network frameworks.

`nnbench.run(["backend=torch", "seed=1"])` trains one run in a fresh process and returns its
RunResult; `nnbench.runs()` returns every recorded run as a DataFrame. Importing nnbench loads no
framework.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nnbench.api import run, runs

    __version__: str

__all__ = ["__version__", "run", "runs"]


def __getattr__(name: str) -> Any:
    if name in {"run", "runs"}:
        from nnbench import api

        return getattr(api, name)
    if name == "__version__":
        from nnbench.config.installation import VERSION

        return VERSION
    raise AttributeError(f"module 'nnbench' has no attribute {name!r}")
