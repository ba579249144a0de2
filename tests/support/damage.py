"""Damaged files of every kind: what bits, disks, editors and other people make of sound ones."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

WRONG: tuple[Any, ...] = (
    None, True, 0, -1, 5, 10**30, 10**300, 1e300, 0.5, "", "x", "../../x", "[/]", "\x1b[31m",
    "y" * 5000, [], [1, 2], [[]], ["a"], {}, {"a": 1}, {"name": []}, [{"name": {}}],
    "2026-13-77T99:99", "\ud800", [None], {"name": "numpy"},
)  # fmt: skip
Damage = Callable[[bytes, random.Random], bytes]


def flipped(content: bytes, rng: random.Random) -> bytes:
    """Return the content with a few bits turned."""
    found = bytearray(content)
    for _ in range(rng.choice((1, 1, 3, 20))):
        found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def cut(content: bytes, rng: random.Random) -> bytes:
    """Return the beginning of the content, perhaps nothing; often to a power of two."""
    power = 2 ** rng.randrange(len(content).bit_length())
    return content[: rng.choice((0, power, power, len(content) - 1, rng.randrange(len(content))))]


def filled(content: bytes, rng: random.Random) -> bytes:
    """Return the content with a part of it zeros, as a disk leaves it."""
    start = rng.randrange(len(content))
    size = min(len(content) - start, rng.choice((16, 512, 4096)))
    return content[:start] + bytes(size) + content[start + size :]


def foreign(content: bytes, rng: random.Random) -> bytes:
    """Return what is another file altogether."""
    return rng.choice(
        (b"", b"\n", b"{}", b"[]", b"null", b"5", b'"text"', b"\xff\xfe{}", b"PK\x03\x04",
         b"\x80\x04\x95", b"<html>", b"\x00" * 64, b"[" * 200_000, b'{"a":' * 100_000,
         b'{"schema_version": ' + b"9" * 5000 + b"}", b"\x93NUMPY\x01\x00")
    )  # fmt: skip


def recoded(content: bytes, rng: random.Random) -> bytes:
    """Return a text as editors, shells and other systems leave it, or as somebody hostile does."""
    middle = rng.randrange(len(content))
    put = rng.choice(
        (b"\xff", b"\xe9", b"\x1b[2J", b"\x1b]0;x\x07", b"[red]", b"\x00", b"\xed\xa0\x80")
    )
    return rng.choice(
        (b"\xef\xbb\xbf" + content, content.replace(b"\n", b"\r\n"), content + content,
         content.decode(errors="replace").encode("utf-16"),
         content[:middle] + put + content[middle:])
    )  # fmt: skip


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return every place in plain data, as keys and indices."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value[:2])
    found = [at] if at else []
    for key, item in items:
        found += _places(item, (*at, key))
    return found


def with_each(content: bytes, others: Sequence[Any]) -> Iterator[tuple[str, bytes]]:
    """Yield a record, signed anew, with each of `others` in every place; and what was put where.

    Of the epochs, which are all alike, the first has to stand for the rest.
    """
    values = json.loads(content)
    for *path, last in _places(values):
        if path[:1] == ["epochs"] and path[1:2] == [1]:
            continue
        inner = values
        for key in path:
            inner = inner[key]
        before = inner[last]
        for other in others:
            inner[last] = other
            yield f"{'.'.join(map(str, (*path, last)))}={other!r}", signed(values)
        inner[last] = before


def signed(values: dict[str, Any], indent: int | None = 1) -> bytes:
    """Return a record with the digest that belongs to it, as a tool of others would."""
    rest = {key: value for key, value in values.items() if key != "digest"}
    text = json.dumps(rest | {"digest": ""}, indent=indent)
    before, _, after = text.rpartition('""')
    digest = hashlib.blake2b(text.rpartition('"digest"')[0].encode(), digest_size=16).hexdigest()
    return f'{before}"{digest}"{after}\n'.encode()


def changed(content: bytes, rng: random.Random) -> bytes:
    """Return a record, signed anew, with a value of another type or range, or without a key."""
    values = json.loads(content)
    for _ in range(rng.choice((1, 1, 1, 3))):
        *path, last = rng.choice(_places(values))
        inner = values
        try:
            for key in path:
                inner = inner[key]
            if rng.random() < 0.15 and isinstance(inner, dict):
                del inner[last]
            else:
                inner[last] = rng.choice(WRONG)
        except (KeyError, IndexError, TypeError):
            continue
    return signed(values)


def spelled(content: bytes, rng: random.Random) -> bytes:
    """Return a record with what JSON allows, or Python's reader of it, and nobody wants."""
    text = content.decode()
    at = text.find('"epochs": [')
    return rng.choice(
        (
            text.replace('"test_loss": ', '"test_loss": NaN, "x": ', 1),
            text.replace('"test_loss": ', '"test_loss": 1e999, "x": ', 1),
            text.replace('"run_id"', '"run_id": "rother", "run_id"', 1),
            text[:at] + '"more": ' + "[" * 900 + "]" * 900 + ", " + text[at:],
            text.replace("numpy", "\\ud800", 1),
            "\ufeff" + text,
        )
    ).encode()


def _npz(arrays: dict[str, Any]) -> bytes:
    stored = io.BytesIO()
    np.savez_compressed(stored, allow_pickle=True, **arrays)
    return stored.getvalue()


def claiming(shape: tuple[int, ...], name: str = "logits") -> bytes:
    """Return an archive whose array claims a shape that it does not have."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": shape}
    )
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.npy", header.getvalue() + b"\x00" * 64)
    return stored.getvalue()


def bomb(size: int = 2**30) -> bytes:
    """Return an archive of a megabyte that holds a gigabyte of zeros."""
    stored = io.BytesIO()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (size,)}
    )
    with (
        zipfile.ZipFile(stored, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("logits.npy", "w", force_zip64=True) as member,
    ):
        member.write(header.getvalue())
        for _ in range(size // 2**20):
            member.write(bytes(2**20))
    return stored.getvalue()


def rearranged(content: bytes, rng: random.Random) -> bytes:  # noqa: PLR0912 - a table
    """Return an archive with arrays of other types, shapes, values and names."""
    with np.load(io.BytesIO(content)) as archive:
        arrays: dict[str, Any] = {name: archive[name] for name in archive.files}
    name = rng.choice(list(arrays))
    value = arrays[name]
    match rng.randrange(13):
        case 0:
            del arrays[name]
        case 1:
            arrays[name] = value[:-1]
        case 2:
            arrays[name] = value.astype(np.float32).reshape(-1)
        case 3:
            arrays[name] = value.astype(str)
        case 4:
            arrays[name] = value.astype(object)
        case 5:
            arrays[name] = (value.astype(np.int64) if value.dtype.itemsize == 1 else value) + 10**6
        case 6:
            arrays[name] = value * 0 - 5
        case 7:
            arrays[name] = np.zeros((0, *value.shape[1:]))
        case 8:
            arrays[name] = np.float64(3.0)
        case 9:
            arrays[name] = value.astype(np.complex128)
        case 10:
            return claiming((100 * 2**27,), name)
        case 11:
            arrays[name] = np.full(value.shape, np.nan)
        case _:
            arrays = {f"../{key}": item for key, item in arrays.items()}
    return _npz(arrays)


def retensored(content: bytes, rng: random.Random) -> bytes:
    """Return a safetensors file with other names, shapes and types, or with another header."""
    from safetensors.numpy import load, save

    tensors = load(content)
    name = rng.choice(list(tensors))
    match rng.randrange(7):
        case 0:
            tensors[name] = np.ascontiguousarray(tensors[name].ravel()[:-1])
        case 1:
            tensors[name] = tensors[name].astype(np.int64)
        case 2:
            tensors["7.nothing"] = tensors.pop(name)
        case 3:
            tensors["kernel"] = tensors.pop(name)
        case 4:
            return (2**40).to_bytes(8, "little") + content[8:]
        case 5:
            claim = {"dtype": "F32", "shape": [2**35], "data_offsets": [0, 2**37]}
            header = json.dumps({"0.kernel": claim}).encode()
            return len(header).to_bytes(8, "little") + header
        case _:
            tensors = {name: np.zeros((1, 1, 1), np.float32)}
    return save(tensors)


COMMON: tuple[Damage, ...] = (flipped, cut, filled, foreign, recoded)
STUDY = b"""title: x
question: y
common: {backend: numpy, data: digits, loss: cross_entropy, schedule: constant, epochs: 2,
  schedule.lr: 0.1, batch_size: 32, tracking: local}
cases:
  a: {}
  b: {base: a, backend: numpy_reference}
pairs:
  - [a, b]
stand_ins: {b: stands for a}
claims:
  - id: s-1
    statement: NumPy's accuracy
    unit: "%"
    claimed: [85, 90]
    measure: {published: a.accuracy, matched: b.accuracy - a.accuracy}
  - id: s-2
    statement: slower
    unit: times
    claimed: ">= 2"
    measure: {published: a.time / b.time}
figures:
  - id: f-1
    statement: what is left
    unit: points
    measure: {published: a.accuracy}
"""
SPELLINGS: tuple[Any, ...] = (
    *WRONG, "a.accuracy.b", "a.accuracy/0", "((((", "(" * 3000 + ")" * 3000, "-" * 9, "2**9**9",
    "a.accuracy" + "+1" * 3000, "${oc.env:HOME}", [85], [90, 85], {"published": 5}, float("inf"),
)  # fmt: skip


def rewritten(content: bytes, rng: random.Random) -> bytes:
    """Return a study with a value of another type or range, another key, or without one."""
    values = yaml.safe_load(content)
    for _ in range(rng.choice((1, 1, 2))):
        *path, last = rng.choice(_places(values))
        inner = values
        try:
            for key in path:
                inner = inner[key]
            if rng.random() < 0.15:
                del inner[last]
            elif rng.random() < 0.15:
                inner[rng.choice(("x", "a.b", "base", "backend.env", 5))] = inner.pop(last)
            else:
                inner[last] = rng.choice(SPELLINGS)
        except (KeyError, IndexError, TypeError, AttributeError):
            continue
    return yaml.safe_dump(values, sort_keys=False).encode(errors="replace")


TAGS = (
    "2026-13-45", "9" * 5000, "!!int x", "!!int '-'", "!!bool x", "!!timestamp x", "!!float x",
    "!!binary é", "!!omap [1]", "!!set {a}", "{<<: 5}", "&a [*a]", "!!python/name:os.system",
    "[" * 2000, ".nan", "!x y", "*nobody", "1:30", "0o9", "? [1, 2]",
)  # fmt: skip


def tagged(content: bytes, rng: random.Random) -> bytes:
    """Return a study with a value that YAML takes for something else, or for nothing."""
    lines = content.decode().splitlines()
    at = rng.randrange(len(lines))
    lines[at] = f"{lines[at].partition(':')[0]}: {rng.choice(TAGS)}"
    return "\n".join(lines).encode()


STORED = (None, "", "x", "[/]", "{}", "[[", -1, 1e300, 2**62, b"\xff", "y" * 5000)


def retold(content: bytes, rng: random.Random) -> bytes:
    """Return a SQLite database with a value of another type, or without a table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.db"
        path.write_bytes(content)
        with contextlib.closing(sqlite3.connect(path)) as base:
            master = (
                "SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite_%'"
            )
            table = rng.choice([name for (name,) in base.execute(master)])
            columns = [row[1] for row in base.execute(f"PRAGMA table_info({table})")]
            change = f"UPDATE {table} SET {rng.choice(columns)} = ?"
            with contextlib.suppress(sqlite3.Error):
                if rng.random() < 0.2:
                    base.execute(f"DROP TABLE {table}")
                else:
                    base.execute(change, (rng.choice(STORED),))
                base.commit()
        return path.read_bytes()


def pickled(content: bytes, rng: random.Random) -> bytes:
    """Return a pickle that would make a file, alone or in an archive."""
    call = b"cos\nsystem\n(S'touch pickle_was_run'\ntR."
    if rng.random() < 0.5:
        return call
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as archive:
        header = {"descr": "|O", "fortran_order": False, "shape": ()}
        made = io.BytesIO()
        np.lib.format.write_array_header_1_0(made, header)  # type: ignore[arg-type]
        archive.writestr(rng.choice(("table.npy", "data.pkl")), made.getvalue() + call)
    return stored.getvalue()


OTHERS: dict[str, tuple[Damage, ...]] = {  # than those of a run
    "study.yaml": (*COMMON, rewritten, rewritten, rewritten, tagged, tagged),
    "operations.json": (*COMMON, changed, changed),
    "search.db": (flipped, cut, filled, foreign, retold, retold, retold),
    "mlflow.db": (flipped, cut, filled, foreign, retold, retold, retold),
    "mnist_5k.npz": (*COMMON, rearranged, rearranged, pickled),
    "mnist.gz": (*COMMON, pickled),
    "cifar10": (*COMMON, pickled),
}
KINDS: dict[str, tuple[Damage, ...]] = {
    "run.json": (*COMMON, changed, changed, changed, changed, spelled),
    "predictions.npz": (*COMMON, rearranged, rearranged),
    "trajectory.npz": (*COMMON, rearranged, rearranged),
    "recomputed.npz": (*COMMON, rearranged, rearranged),
    "weights.safetensors": (*COMMON, retensored, retensored),
    "config.yaml": COMMON,
    "checkpoint": (*COMMON, retensored, retensored),
}


def damaged(kind: str, content: bytes, seed: int) -> bytes:
    """Return the content of a file of a kind, damaged in the way of `seed`."""
    rng = random.Random(seed)
    ways = (KINDS | OTHERS)[kind]
    return ways[seed % len(ways)](content, rng)


def _no_file(path: Path, _: Path) -> None:
    path.unlink()


def _folder(path: Path, _: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "x").write_bytes(b"x")


def _pipe(path: Path, _: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _loop(path: Path, _: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _device(path: Path, _: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _dangling(path: Path, _: Path) -> None:
    path.unlink()
    path.symlink_to("/nowhere/x")


def _huge(path: Path, _: Path) -> None:
    sparse(path, 3 * 2**30)


def _swapped(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes())


def _forbidden(path: Path, _: Path) -> None:
    path.chmod(0)  # root reads it all the same


# What may stand in place of a file; `other` is a sound file of another kind.
NODES = (_no_file, _folder, _pipe, _loop, _device, _dangling, _huge, _swapped, _forbidden)


def sparse(path: Path, size: int) -> None:
    """Make a file of `size` zeros that takes no space."""
    with path.open("wb") as file:
        file.truncate(size)
