"""IDX files, the format of MNIST: bytes of any shape, gzipped or not.

Layout: two zero bytes, the element type (8: unsigned byte), the number of axes, each axis as a
big-endian int32, then the elements. Source: http://yann.lecun.com/exdb/mnist/.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnbench.data import cache
from nnbench.errors import DataError
from nnbench.schema.archives import unzipped
from nnbench.schema.deferred import dataclass
from nnbench.schema.files import Damage, content, reason

UNSIGNED_BYTE = 8
GZIP = b"\x1f\x8b"
UNPACKED_BYTES = 2**20  # gzipped: larger files are kept unpacked
MOST_BYTES = 64 * 2**20  # the images of MNIST to train on have 45 MiB


@dataclass(frozen=True)
class Checksum:
    """What identifies a file: the SHA-256 of its content or, with a `shape`, the MD5 of its gzip.

    Of a file that is unpacked the latter can say nothing; then its `shape` has to do.
    """

    value: str
    shape: tuple[int, ...] | None = None

    def holds(self, stored: bytes, unpacked: bytes, array: NDArray[np.uint8]) -> bool:
        """Tell whether a file, as stored and decompressed, is the one."""
        if self.shape is None:
            return hashlib.sha256(unpacked).hexdigest() == self.value
        if stored[:2] == GZIP:
            return hashlib.md5(stored, usedforsecurity=False).hexdigest() == self.value
        return array.shape == self.shape


def read(path: Path, axes: int, checksum: Checksum) -> NDArray[np.uint8]:
    """Return the array in `path`, which must have `axes` axes.

    Raises DataError, naming what is wrong, where the file cannot be read, is truncated, has
    another magic number or another checksum.
    """
    try:
        stored = content(path, MOST_BYTES)
    except (OSError, Damage) as error:
        raise DataError(f"{path} cannot be read: {reason(error)}") from None
    copy = _copy(stored, checksum)
    if copy is not None:
        with contextlib.suppress(OSError, Damage, DataError):
            data = content(copy, MOST_BYTES)
            array = _parse(copy, data, axes)
            if checksum.holds(stored, data, array):
                return array
    data = _decompressed(path, stored)
    array = _parse(path, data, axes)
    if not checksum.holds(stored, data, array):
        raise DataError(f"{path} is damaged: wrong checksum")
    if copy is not None:
        with contextlib.suppress(OSError), cache.replacing(copy) as new:  # it only costs time
            new.write_bytes(data)
    return array


def _copy(stored: bytes, checksum: Checksum) -> Path | None:
    """Return where the cache keeps a large file unpacked; None where it is not to be kept.

    Unpacking the images of MNIST costs every run a fifth of a second. The copy belongs to just this
    file, and is read only where its own content can be proved.
    """
    if checksum.shape is not None or stored[:2] != GZIP or len(stored) < UNPACKED_BYTES:
        return None
    return cache.directory() / "unpacked" / hashlib.sha256(stored).hexdigest()


def _decompressed(path: Path, data: bytes) -> bytes:
    try:
        # By content, not by name: browsers unpack downloads and keep the name.
        return unzipped(data, MOST_BYTES) if data[:2] == GZIP else data
    except Damage as error:
        raise DataError(f"{path} is damaged: {error}") from None


def _parse(path: Path, data: bytes, axes: int) -> NDArray[np.uint8]:
    header = 4 + 4 * axes
    magic = struct.pack(">BBBB", 0, 0, UNSIGNED_BYTE, axes)
    if data[:4] != magic[: len(data)] or not data:
        raise DataError(
            f"{path} is no IDX file of {axes} axes: magic number 0x{data[:4].hex()}, "
            f"must be 0x{magic.hex()}"
        )
    shape = struct.unpack(f">{axes}I", data[4:header]) if len(data) >= header else None
    if shape is None or len(data) != header + math.prod(shape):
        needed = header + math.prod(shape) if shape else header
        what = "truncated" if len(data) < needed else "too long"
        raise DataError(f"{path} is damaged: {what}, {len(data)} bytes where {needed} belong")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)
