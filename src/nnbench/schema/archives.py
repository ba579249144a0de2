"""Arrays from files that others wrote, or that are damaged: npz, safetensors, gzip.

Nothing is ever unpickled. What a file claims to hold is checked before memory is taken, and no more
is unpacked than it claims.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from nnbench.schema.files import Damage, opened, reason

if TYPE_CHECKING:
    import zipfile

    import numpy as np
    from numpy.typing import NDArray

MOST_ARRAYS = 128 * 2**20  # bytes of the arrays of a small archive, unpacked
MOST_PACKED = 20  # times its size that a larger one may hold; deflate alone makes it 1,000
MOST_TENSORS = 8 * 2**30
MOST_LISTED = 4 * 2**20  # bytes of the list of what an archive or a tensor file holds
MOST_MEMBERS = 32_000
MOST_HOLES = 20  # times what a large file takes of the disk: more is made up
SMALL, LARGE = 2**20, 64 * 2**20  # bytes of a file
KINDS = "biuf"  # of arrays: truth values and numbers
PICKLES = (b"\x80", b"PK\x03\x04")  # protocol 2 and later; the zip archives of torch.save
_MAGIC = b"\x93NUMPY\x01\x00"
_PLAIN_HEADER = re.compile(  # as NumPy writes it; its own reader takes longer than most arrays
    rb"\{'descr': '([<>|][biuf]\d\d?)', 'fortran_order': (True|False), "
    rb"'shape': \(([\d, ]*)\), \} *\n"
)


def arrays(
    path: Path,
    most: int = MOST_ARRAYS,
    packed: int = MOST_PACKED,
    wanted: Collection[str] | None = None,
    kinds: str = KINDS,
) -> dict[str, NDArray[Any]]:
    """Return the arrays of an npz archive: numbers, as large as its size makes believable.

    That is `most` bytes, or `packed` times those of the file. Only `wanted` ones are looked at,
    where that says so; `kinds` are those of dtypes. Raises OSError or Damage.
    """
    with _archive(path) as (archive, size):
        return dict(_members(archive, max(most, packed * size), wanted, kinds))


def members(path: Path) -> list[str]:
    """Return the names of the arrays in an npz archive. Raises OSError or Damage."""
    with _archive(path) as (archive, _):
        return [name.removesuffix(".npy") for name in archive.namelist()]


def unzipped(stored: bytes, most: int) -> bytes:
    """Return what gzip holds, of one member. Raises Damage for damage, and for more than `most`."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        found = unpacker.decompress(stored, most + 1)
    except zlib.error as error:
        raise Damage(reason(error)) from None
    if len(found) > most:
        raise Damage(f"it holds more than {most:,} bytes")
    if not unpacker.eof:
        raise Damage("truncated")
    return found


def tensors(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return the arrays of a safetensors file, and its metadata. Raises OSError or Damage."""
    from safetensors import SafetensorError, safe_open

    with opened(path, MOST_TENSORS) as file:
        _check_tensors(file)
    try:
        with safe_open(path, framework="np") as found:
            values = {name: found.get_tensor(name) for name in found.keys()}  # noqa: SIM118
            return values, dict(found.metadata() or {})
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, MemoryError) as error:
        raise Damage(reason(error)) from None


def _check_tensors(file: IO[bytes]) -> None:
    """Raise Damage for a pickle, and for what would take memory out of proportion."""
    first = file.read(9)  # the length of a header of 640 bytes looks like a pickle
    if first.startswith(PICKLES) and first[8:] != b"{":
        raise Damage(
            "it is a pickle or a PyTorch file, which nnbench never loads; it takes safetensors"
        )
    listed = int.from_bytes(first[:8], "little")
    stat = os.fstat(file.fileno())
    if MOST_LISTED < listed <= stat.st_size:
        raise Damage(f"its header claims {listed:,} bytes; at most {MOST_LISTED:,} are read")
    taken = 512 * getattr(stat, "st_blocks", 0)  # 0 where a file system does not tell
    if stat.st_size > LARGE and 0 < MOST_HOLES * taken < stat.st_size:
        raise Damage(f"it claims {stat.st_size:,} bytes and takes {taken:,} of the disk")


class _Limited:
    """A file of which no more than `most` bytes are read at a time."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable
        self.most, self._file = most, file

    def read(self, size: int = -1) -> bytes:
        """Read as files do. Raises Damage for more than `most`."""
        if size > self.most:
            raise Damage(f"its list of members has {size:,} bytes")
        return self._file.read(self.most if size < 0 else size)


@contextlib.contextmanager
def _archive(path: Path) -> Iterator[tuple[zipfile.ZipFile, int]]:
    """Open a zip archive; yield it with its size. What is wrong with it is Damage."""
    import zipfile  # here: who reads text alone does not wait for it

    with opened(path, MOST_TENSORS) as file:
        size = os.fstat(file.fileno()).st_size
        limited = _Limited(file, MOST_LISTED)
        # A small one is read at once: a call for each part takes longer than its arrays.
        source = io.BytesIO(file.read(size)) if size <= SMALL else limited
        try:
            with zipfile.ZipFile(source) as archive:
                limited.most = MOST_TENSORS
                if len(archive.infolist()) > MOST_MEMBERS:
                    raise Damage(f"it has {len(archive.infolist()):,} members")
                yield archive, size
        except Damage:
            raise
        except OSError as error:
            raise error if error.errno is not None else Damage(reason(error)) from None
        except (
            ValueError, KeyError, EOFError, RuntimeError, NotImplementedError, MemoryError,
            SyntaxError, OverflowError, TypeError, zipfile.BadZipFile, zlib.error,
        ) as error:  # fmt: skip
            raise Damage(reason(error)) from None


def _members(
    archive: zipfile.ZipFile, most: int, wanted: Collection[str] | None, kinds: str
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the arrays of an archive; what each claims is checked before it is made."""
    import zipfile

    left, seen = most, set()
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if wanted is not None and name not in wanted:
            continue
        left -= info.file_size
        if left < 0:
            raise Damage(f"it claims to hold more than {most:,} bytes")
        if name in seen:
            raise Damage(f"{name} is in it twice")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Damage(f"{name} is packed in a way that NumPy does not use")
        seen.add(name)
        with archive.open(info) as member:
            yield name, _array(name, member.read(info.file_size), kinds)  # all of it: it may lie


def _array(name: str, stored: bytes, kinds: str) -> NDArray[Any]:
    import numpy as np  # here: who reads text alone does not wait for it

    dtype, fortran, shape, start = _header(stored)
    if dtype.kind not in kinds or dtype.hasobject:
        raise Damage(f"{name} has dtype {dtype}; must be numbers (objects are never loaded)")
    count = 1
    for length in shape:
        count *= length
    wanted = count * dtype.itemsize
    if min(shape, default=0) < 0 or len(stored) - start != wanted:
        raise Damage(f"{name} claims {wanted:,} bytes and has {len(stored) - start:,}")
    found = np.frombuffer(stored, dtype=dtype, offset=start if count else 0, count=count)
    found = found.reshape(shape, order="F" if fortran else "C")
    return found.astype(dtype.newbyteorder("="), copy=True)


def _header(stored: bytes) -> tuple[np.dtype[Any], bool, tuple[int, ...], int]:
    """Return dtype, order and shape of an array in NumPy's format, and where its values begin."""
    import numpy as np

    end = 10 + int.from_bytes(stored[8:10], "little")
    plain = _PLAIN_HEADER.fullmatch(stored, 10, end) if stored.startswith(_MAGIC) else None
    if plain is not None:
        kind, fortran, lengths = plain.groups()
        shape = tuple(int(length) for length in lengths.split(b",") if length.strip())
        return np.dtype(kind.decode()), fortran == b"True", shape, end
    file = io.BytesIO(stored[: 2**16])
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else (
        np.lib.format.read_array_header_2_0
    )  # fmt: skip
    shape, in_columns, dtype = read(file)
    return dtype, in_columns, shape, file.tell()
