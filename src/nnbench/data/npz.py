"""NumPy archives: arrays to train and to test on, or one part to be split, by the usual names."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnbench.data import targets
from nnbench.data.config import Npz
from nnbench.data.dataset import Split
from nnbench.data.prepare import Payload, are_pixels, identity
from nnbench.data.text import unreadable
from nnbench.errors import DataError
from nnbench.model.losses import TaskKind
from nnbench.schema import archives, files, suggest

SINGLE = b"\x93NUMPY"  # how a file of one array begins
MOST_BYTES, MOST_PACKED = 256 * 2**20, 100  # images of mostly zeros pack well
CHANNELS = (1, 3, 4)
PARTS = {
    "train": ("train", "training", "tr"),
    "test": ("test", "testing", "te"),
    "val": ("val", "valid", "validation"),
    "all": ("",),
}
INPUTS = ("x", "data", "images", "image", "imgs", "inputs", "input", "features")
LABELS = ("y", "labels", "label", "targets", "target", "outputs")
ROLES = {
    word: (part, role)
    for role, names in enumerate((INPUTS, LABELS))
    for part, parts in PARTS.items()
    for p in parts
    for name in names
    for word in (p + name, name + p)
}
WANTED = "x_train, y_train, x_test, y_test, or x and y"
KINDS = "biufUS"  # labels may be words

Arrays = dict[str, NDArray[Any]]
Pairs = dict[str, tuple[str, str]]


def read(config: Npz, kind: TaskKind) -> Payload:
    """Return the arrays: inputs uint8 or float64 `(n, ...)`, targets as the task needs them.

    Images come out as `(n, height, width[, channels])`. In classification labels may be whole
    numbers, words or one-hot rows, `(n,)` or `(n, 1)`; in regression numbers `(n,)` or `(n, k)`.
    Raises DataError where the file is damaged or its arrays do not fit.
    """
    path = Path(config.path).expanduser()
    try:
        stored = files.content(path, archives.MOST_TENSORS)
    except (OSError, files.Damage) as error:
        raise unreadable("data.path", path, error) from None
    if stored.startswith(SINGLE):
        raise DataError(f"{path} is a single array; save several with numpy.savez")
    sha256 = hashlib.sha256(stored).hexdigest()
    try:
        names = archives.members(path)
        guessed: dict[str, Any] = {}
        pairs = _pairs(path, names, config, guessed)
        used = [name for pair in pairs.values() for name in pair]
        arrays = archives.arrays(path, MOST_BYTES, MOST_PACKED, used, KINDS)
    except OSError as error:
        raise DataError(f"Received data.path={path}; cannot read it ({error.strerror})") from None
    except files.Damage as error:
        raise DataError(f"{path} cannot be read as npz: {error}") from None
    for x, y in pairs.values():
        _check(path, arrays, x, y)
    inputs = _inputs(path, {part: arrays[x] for part, (x, _) in pairs.items()}, config, guessed)
    labels = {part: arrays[y] for part, (_, y) in pairs.items()}
    found = _targets(path, labels, pairs, kind, guessed)
    parts = {part: Split(inputs[part], found[part]) for part in pairs}
    _check_alike(path, parts)
    return Payload(
        parts,
        identity(sha256, guessed),
        str(path),
        test_fraction=config.test_fraction,
        guessed=guessed,
    )


def _pairs(path: Path, names: list[str], config: Npz, guessed: dict[str, Any]) -> Pairs:
    """Return the names of inputs and labels by part: `train` and `test`, or `all`; maybe `val`."""
    said = {"all": (config.x, config.y), "test": (config.x_test, config.y_test)}
    roles: dict[tuple[str, int], list[str]] = {}
    for name in names:
        if place := ROLES.get(re.sub(r"[^a-z0-9]", "", name.lower())):
            roles.setdefault(place, []).append(name)
    for part, pair in said.items():
        for role, given in enumerate(pair):
            if given is not None:
                if given not in names:
                    setting = ("x", "y")[role] + ("_test" if part == "test" else "")
                    raise DataError(
                        f"Received data.{setting}={given}; {path} has {', '.join(names)}"
                        f"{suggest(given, names)}"
                    )
                roles[part, role] = [given]
    if config.x is None and any(("train", role) in roles for role in (0, 1)):
        roles = {place: found for place, found in roles.items() if place[0] != "all"}
    elif ("all", 0) in roles or ("all", 1) in roles:
        parts = ("all", "test") if config.x_test is not None else ("all",)
        roles = {place: found for place, found in roles.items() if place[0] in parts}
    return _paired(path, names, roles, guessed)


def _paired(
    path: Path, names: list[str], roles: dict[tuple[str, int], list[str]], guessed: dict[str, Any]
) -> Pairs:
    pairs: Pairs = {}
    for part in dict.fromkeys(part for part, _ in roles):
        pair = [roles.get((part, role), []) for role in (0, 1)]
        for role, found in enumerate(pair):
            setting = ("x", "y")[role] + ("_test" if part == "test" else "")
            if len(found) > 1:
                raise DataError(
                    f"{path} has {' and '.join(found)}; name the array with data.{setting}=NAME"
                )
            if not found:
                usual = ("x", "y")[role] + ("" if part == "all" else f"_{part}")
                raise DataError(
                    f"{path} lacks {usual}; it has {', '.join(names)}. Name the array with "
                    f"data.{setting}=NAME"
                )
        pairs[part] = (pair[0][0], pair[1][0])
    if not {"train", "all"} & set(pairs):
        raise DataError(
            f"{path} has {', '.join(names) or 'no arrays'}; must have {WANTED}, or name its "
            "arrays with data.x=NAME data.y=NAME (and data.x_test, data.y_test)"
        )
    if "test" in pairs and "all" in pairs:
        pairs["train"] = pairs.pop("all")
    if "train" in pairs and "test" not in pairs:
        pairs["all"] = pairs.pop("train")
    unusual = {
        f"{role}{'' if part == 'all' else '_' + part}": name
        for part, pair in pairs.items()
        for role, name in zip("xy", pair, strict=True)
    }
    if any(role != name for role, name in unusual.items()):
        guessed["arrays"] = unusual
    return {part: pairs[part] for part in ("train", "all", "test", "val") if part in pairs}


def _check(path: Path, arrays: Arrays, x_name: str, y_name: str) -> None:
    x, y = arrays[x_name], arrays[y_name]
    if x.dtype.kind not in "biuf":
        raise DataError(f"{path}: {x_name} has dtype {x.dtype}; must be numbers")
    for name, array in ((x_name, x), (y_name, y)):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DataError(
                f"{path}: {name} has {int((~np.isfinite(array)).sum())} values that are NaN or "
                "infinite; all must be finite"
            )
    if x.ndim < 2 or x.size == 0:
        raise DataError(f"{path}: {x_name} has shape {x.shape}; must be (samples, features...)")
    if y.ndim not in (1, 2) or len(y) != len(x) or y.size == 0:
        raise DataError(
            f"{path}: {y_name} has shape {y.shape} and dtype {y.dtype}; must be ({len(x)},) or "
            f"({len(x)}, k), as {x_name} has {len(x)} samples"
        )


def _inputs(path: Path, raw: Arrays, config: Npz, guessed: dict[str, Any]) -> Arrays:
    """Return inputs with channels last, as uint8 where they are 8-bit images, else float64."""
    first = next(iter(raw.values()))
    if first.ndim == 4 and all(x.ndim == 4 for x in raw.values()):
        layout = config.layout or _layout(path, first.shape, guessed)
        if layout == "nchw":
            raw = {part: np.moveaxis(x, 1, -1) for part, x in raw.items()}
    if all(x.dtype != np.uint8 for x in raw.values()) and are_pixels(list(raw.values())):
        guessed["pixels"] = str(first.dtype)
        return {part: np.ascontiguousarray(x, np.uint8) for part, x in raw.items()}
    return {
        part: np.ascontiguousarray(x, np.uint8 if x.dtype == np.uint8 else np.float64)
        for part, x in raw.items()
    }


def _layout(path: Path, shape: tuple[int, ...], guessed: dict[str, Any]) -> str:
    """Tell whether channels are the second axis or the last of `(n, ., ., .)`."""
    first, last = shape[1] in CHANNELS, shape[3] in CHANNELS
    if first and last and shape[1] != shape[3] and shape[2] in CHANNELS:
        first = last = False
    if first and last:
        raise DataError(
            f"{path}: images of shape {shape[1:]} may be channels first or last; say "
            "data.layout=nchw or data.layout=nhwc"
        )
    if first:
        guessed["layout"] = "nchw"
        return "nchw"
    return "nhwc"


def _targets(
    path: Path, raw: Arrays, pairs: Pairs, kind: TaskKind, guessed: dict[str, Any]
) -> Arrays:
    """Return class indices int64 `(n,)`, or numbers to predict float64 `(n, k)`."""
    flat = {p: y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y for p, y in raw.items()}
    if kind == "regression":
        for part, y in flat.items():
            if y.dtype.kind not in "iuf":
                raise DataError(
                    f"{path}: {pairs[part][1]} has dtype {y.dtype}; regression needs numbers, "
                    "for labels use task=classification"
                )
        return {part: y.astype(np.float64).reshape(len(y), -1) for part, y in flat.items()}
    if any(y.ndim == 2 for y in flat.values()):
        rows = {part: targets.from_one_hot(y) for part, y in flat.items()}
        for part, found in rows.items():
            if found is None:
                raise DataError(
                    f"{path}: {pairs[part][1]} has shape {raw[part].shape}; class labels must be "
                    f"({len(raw[part])},) or one-hot, zeros with one 1 in every row "
                    f"({targets.REGRESSION})"
                )
        guessed["one_hot"] = next(iter(flat.values())).shape[1]
        return {part: found.astype(np.int64) for part, found in rows.items() if found is not None}

    def place(part: str, row: int) -> str:
        return f"{path}: {pairs[part][1]} row {row}:" if row >= 0 else f"{path} has"

    return targets.classes(flat, place, guessed)


def _check_alike(path: Path, parts: dict[str, Split]) -> None:
    """Check that all parts fit together: shape of a sample and dtype."""
    first = next(iter(parts))
    for kind in ("inputs", "targets"):
        for name in list(parts)[1:]:
            one, other = getattr(parts[first], kind), getattr(parts[name], kind)
            if one.shape[1:] != other.shape[1:] or one.dtype != other.dtype:
                raise DataError(
                    f"{path}: {kind} to train on are {one.dtype} {one.shape[1:]} a sample, to "
                    f"{name} on {other.dtype} {other.shape[1:]}; must be alike"
                )
