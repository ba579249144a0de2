"""Weights and predictions as files: the same keys and layout from every backend."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnbench.errors import DataError
from nnbench.model import metrics
from nnbench.model.init import Params
from nnbench.model.layers import ActivationName
from nnbench.model.network import ParamKey
from nnbench.records.files import write_arrays, write_atomically
from nnbench.records.run import WEIGHTS_NAME

PICKLES = (b"\x80", b"PK\x03\x04")  # protocol 2 and later; the zip archives of torch.save
PREDICTIONS_NAME = "predictions.npz"


def save_weights(path: Path, params: Params, description: str) -> None:
    """Write `params` as safetensors: keys `LAYER.ROLE`, canonical layout."""
    from safetensors.numpy import save

    tensors = {str(key): np.ascontiguousarray(value) for key, value in params.items()}
    write_atomically(path, save(tensors, metadata={"architecture": description}))


def load_weights(path: Path) -> Params:
    """Read a weights file, or the one in a run's folder.

    Raises DataError when it is missing or is no safetensors file; nothing is ever unpickled.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = path / WEIGHTS_NAME if path.is_dir() else path
    try:
        stored = path.read_bytes()
        if stored.startswith(PICKLES):
            raise DataError(
                f"{path} is a pickle or a PyTorch file, which nnbench never loads; it takes "
                "safetensors."
            )
        tensors = load(stored)
        return {ParamKey.parse(name): value for name, value in sorted(tensors.items())}
    except OSError as error:
        raise DataError(f"Cannot read weights {path}: {error.strerror}.") from None
    except (SafetensorError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{path} is not a weights file of nnbench (safetensors): {reason}"
        ) from None


def finite_weights(path: Path) -> Params:
    """Read weights for use elsewhere; raises DataError, too, where some are not finite."""
    params = load_weights(path)
    bad = {str(key): np.count_nonzero(~np.isfinite(value)) for key, value in params.items()}
    if any(bad.values()):
        listed = ", ".join(f"{key} ({count})" for key, count in bad.items() if count)
        raise DataError(
            f"The weights in {path} are not finite, as of a run that diverged: {listed}. "
            "Use another run, or train this one with a lower learning rate."
        )
    return params


def weights_digest(params: Params) -> str:
    """Return the SHA-256 over keys, shapes, dtypes and values."""
    sha = hashlib.sha256()
    for key, value in sorted(params.items()):
        sha.update(f"{key}{value.shape}{value.dtype}".encode())
        sha.update(np.ascontiguousarray(value).data)
    return sha.hexdigest()


def save_predictions(
    path: Path, logits: NDArray[np.floating], targets: NDArray[Any], activation: ActivationName
) -> None:
    """Write `logits` and `outputs` `(n, k)`, `targets`, and for labels `predicted` `(n,)`."""
    arrays = {
        "logits": logits,
        "outputs": metrics.outputs(logits, activation).astype(logits.dtype),
        "targets": targets,
    }
    if targets.ndim == 1:
        arrays["predicted"] = metrics.predicted(logits)
    write_arrays(path, arrays)


def largest_difference(a: Params, b: Params) -> float | None:
    """Return the largest absolute difference of two nets' weights, None where shapes differ."""
    if {k: v.shape for k, v in a.items()} != {k: v.shape for k, v in b.items()}:
        return None
    return max(
        float(np.abs(a[key].astype(np.float64) - b[key].astype(np.float64)).max()) for key in a
    )
