"""nnbench: fair comparisons of neural-network frameworks.

What the commands do, as functions: `nnbench.run(["backend=torch", "seed=1"])` trains one run in a
fresh process and returns its record; see docs/python.md. Importing nnbench loads no framework.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nnbench.api import claims, diagnose, explain, parity, report, run, runs, sweep

    __version__: str

__all__ = [
    "__version__", "claims", "diagnose", "explain", "parity", "report", "run", "runs", "sweep",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from nnbench.config.installation import VERSION

        return VERSION
    if name in __all__:
        from nnbench import api

        return getattr(api, name)
    raise AttributeError(f"module 'nnbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
