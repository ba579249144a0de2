"""A run's identity: what decides its result, and nothing else, as one hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

LEFT_OUT = ("tracking", "results", "name")


def fingerprint(
    config: Mapping[str, Any],
    machine: Mapping[str, Any],
    data_digests: Mapping[str, str],
    weights_digest: str | None,
) -> str:
    """Hash the resolved config, source digest, versions, data digests and weights taken.

    Where results go and how they are tracked is left out. The machine class (CPU, BLAS kernel)
    is part of it: the same config on another machine is another run.
    """
    parts = {
        "config": {key: value for key, value in config.items() if key not in LEFT_OUT},
        "source": machine.get("source_digest"),
        "versions": machine.get("versions"),
        "machine": [machine.get("cpu"), machine.get("blas_kernel"), machine.get("gpu")],
        "data": dict(data_digests),
        "weights": weights_digest,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]
