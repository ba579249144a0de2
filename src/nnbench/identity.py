"""A run's identity: what decides its result, and nothing else, as one hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

LEFT_OUT = ("tracking", "results", "name", "case", "parity")


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
    kept = {key: value for key, value in config.items() if key not in LEFT_OUT}
    if weights_digest is not None:  # where the weights lay does not matter, what they are does
        kept["init"] = {key: value for key, value in kept["init"].items() if key != "run"}
    parts = {
        "config": kept,
        "source": machine.get("source_digest"),
        "versions": machine.get("versions"),
        "machine": [machine.get("cpu"), machine.get("blas_kernel"), machine.get("gpu")],
        "data": dict(data_digests),
        "weights": weights_digest,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]
