"""Weights and predictions as files: the same keys and layout from every backend."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnbench.errors import DataError, ResultsError
from nnbench.model import metrics
from nnbench.model.init import Params
from nnbench.model.layers import ActivationName
from nnbench.model.network import ParamKey
from nnbench.records.files import write_arrays, write_atomically
from nnbench.records.run import WEIGHTS_NAME
from nnbench.schema.archives import arrays, tensors
from nnbench.schema.files import Damage, reason

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
    path = path / WEIGHTS_NAME if path.is_dir() else path
    try:
        stored, _ = tensors(path)
        if not stored:
            raise Damage("it is empty")
        return {ParamKey.parse(name): value for name, value in sorted(stored.items())}
    except OSError as error:
        raise DataError(f"Cannot read weights {path}: {error.strerror}.") from None
    except (Damage, ValueError, KeyError) as error:
        raise DataError(
            f"{path} is not a weights file of nnbench (safetensors): {reason(error)}."
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
    values = {
        "logits": logits,
        "outputs": metrics.outputs(logits, activation).astype(logits.dtype),
        "targets": targets,
    }
    if targets.ndim == 1:
        values["predicted"] = metrics.predicted(logits)
    write_arrays(path, values)


def load_predictions(directory: Path, samples: int | None = None) -> dict[str, NDArray[Any]] | None:
    """Read the predictions of a run as `save_predictions` wrote them; None where there are none.

    `samples` is how many test samples there should be. Raises ResultsError where they are damaged.
    """
    path = directory / PREDICTIONS_NAME
    try:
        found = arrays(path)
        _check_predictions(found, samples)
        return found
    except FileNotFoundError:
        return None
    except (OSError, Damage) as error:
        raise ResultsError(
            f"{path} is damaged ({reason(error)}); its answers are left out. Delete its folder and "
            "run it again."
        ) from None


def _check_predictions(found: Mapping[str, NDArray[Any]], samples: int | None) -> None:
    lacks = [name for name in ("logits", "outputs", "targets") if name not in found]
    if lacks or found.keys() - {"logits", "outputs", "targets", "predicted"}:
        raise Damage(f"it has {', '.join(found) or 'nothing'}")
    n, k = found["logits"].shape if found["logits"].ndim == 2 else (0, 0)
    labelled = "predicted" in found
    shapes = {"outputs": (n, k), "logits": (n, k), "targets": (n,) if labelled else (n, k)}
    shapes |= {"predicted": (n,)} if labelled else {}
    for name, shape in shapes.items():
        if found[name].shape != shape or n == 0 or k == 0 or (samples or n) != n:
            raise Damage(f"{name} has the shape {found[name].shape}")
        labels = name in ("targets", "predicted") and labelled
        if (found[name].dtype.kind in "iu") != labels:
            raise Damage(f"{name} is of type {found[name].dtype}")
        least = -1 if name == "predicted" else 0  # -1: logits that are no numbers
        if labels and (found[name].min() < least or found[name].max() >= k):
            raise Damage(f"{name} are no labels from {least} to {k - 1}")


def largest_difference(a: Params, b: Params) -> float | None:
    """Return the largest absolute difference of two nets' weights, None where shapes differ."""
    if {k: v.shape for k, v in a.items()} != {k: v.shape for k, v in b.items()}:
        return None
    return max(
        float(np.abs(a[key].astype(np.float64) - b[key].astype(np.float64)).max()) for key in a
    )
