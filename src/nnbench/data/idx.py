"""The IDX format of the MNIST files, plain or gzipped."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnbench.errors import DataError


def read(path: Path, sha256: str | None = None) -> NDArray[np.uint8]:
    """Return the array of unsigned bytes in `path`.

    Layout: two zero bytes, 8 (unsigned byte), the number of axes, each axis' length as big-endian
    int32, then the values. Raises DataError where the content is damaged or, with `sha256`, is not
    the published payload (of the decompressed file).
    """
    content = _payload(path)
    remedy = "delete it and fetch it again"
    if len(content) < 4 or content[:3] != b"\x00\x00\x08" or not content[3]:
        raise DataError(f"{path} is no IDX file of bytes (magic {content[:4].hex()}); {remedy}.")
    axes = content[3]
    shape = tuple(np.frombuffer(content[4 : 4 + 4 * axes], ">i4").astype(int))
    expected = 4 + 4 * axes + int(np.prod(shape))
    if len(shape) != axes or len(content) != expected:
        raise DataError(
            f"{path} is truncated or too long: {len(content):,} bytes, its header says "
            f"{expected:,}; {remedy}."
        )
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise DataError(
            f"{path} is damaged: its SHA-256 is not the published {sha256[:12]}...; {remedy}."
        )
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _payload(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error}); delete it and fetch it again.") from None
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.") from None
