"""Files that others wrote, or that are damaged, read as data: bounded, and never as code.

Sizes are checked before memory is taken. Whatever is wrong with a file is a `Damage` with a few
words, to be put into one line with its path and the remedy; a file that cannot be opened at all is
an OSError.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import stat
import zlib
from collections.abc import Collection, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import zipfile

    import numpy as np
    from numpy.typing import NDArray

MOST_TEXT = 64 * 2**20  # bytes of a text file
MOST_ARRAYS = 128 * 2**20  # bytes of the arrays of a small archive, unpacked
MOST_PACKED = 20  # times its size that a larger one may hold; deflate alone makes it 1,000
MOST_TENSORS = 8 * 2**30
MOST_DEPTH = 32  # of lists and mappings in each other
MOST_CHARACTERS = 2**20  # of one text
KINDS = "biuf"  # of arrays: truth values and numbers
_MAGIC = b"\x93NUMPY\x01\x00"
_PLAIN_HEADER = re.compile(  # as NumPy writes it; its own reader takes longer than most arrays
    rb"\{'descr': '([<>|][biuf]\d\d?)', 'fortran_order': (True|False), "
    rb"'shape': \(([\d, ]*)\), \} *\n"
)
_HALF = re.compile("[\ud800-\udfff]")
PICKLES = (b"\x80", b"PK\x03\x04")  # protocol 2 and later; the zip archives of torch.save
_noted: ContextVar[list[str] | None] = ContextVar("noted", default=None)


class Damage(ValueError):  # noqa: N818 - it names what happened
    """A file does not hold what it should; the message says how in a few words."""


@contextlib.contextmanager
def noting() -> Iterator[list[str]]:
    """Collect, while open, the lines about files that somebody did without."""
    found: list[str] = []
    token = _noted.set(found)
    try:
        yield found
    finally:
        _noted.reset(token)


def note(line: str) -> None:
    """Say to who collects it (`noting`) that a damaged file is done without."""
    found = _noted.get()
    if found is not None and line not in found:
        found.append(line)


def content(path: Path | str, most: int = MOST_TEXT) -> bytes:
    """Return the bytes of a plain file. Raises OSError, and Damage for more than `most`."""
    handle = _handle(path, most)
    try:
        found = os.read(handle, os.fstat(handle).st_size + 1)
        while len(found) <= most and (more := os.read(handle, most + 1 - len(found))):
            found += more  # of a file that grows
    finally:
        os.close(handle)
    return found


def json_object(stored: bytes) -> dict[str, Any]:
    """Return the mapping that UTF-8 JSON holds, plain and of sane size. Raises Damage."""
    values = value_of(stored)
    if not isinstance(values, dict):
        raise Damage("it holds no mapping")
    return values


def value_of(stored: bytes) -> Any:
    """Return what UTF-8 JSON holds, of sane size. Raises Damage."""
    try:
        value = _DECODER.decode(stored.decode())
        if b"\\ud" in stored.lower() and _HALF.search(json.dumps(value, ensure_ascii=False)):
            raise Damage("it has half of a character")
    except Damage:
        raise
    except RecursionError:
        raise Damage("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise Damage("it is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise Damage(f"not JSON: {error.msg} in line {error.lineno}") from None
    except ValueError as error:  # a number of thousands of digits
        raise Damage(str(error).partition(";")[0]) from None
    return value


def check_plain(value: Any, depth: int = MOST_DEPTH) -> None:
    """Raise Damage unless `value` is plain data: finite numbers of 64 bits, texts, not too deep."""
    kind = type(value)
    if kind is str:
        if len(value) > MOST_CHARACTERS:
            raise Damage(f"a text of {len(value):,} characters")
    elif kind is int:
        if not -(2**63) <= value < 2**63:
            raise Damage(f"a whole number of {value.bit_length()} bits")
    elif kind is float:
        if value - value != 0:
            raise Damage("a number that is not finite")
    elif kind in (dict, list, tuple):
        if depth == 0:
            raise Damage("it is nested too deeply")
        for item in value.values() if kind is dict else value:
            check_plain(item, depth - 1)
    elif value is not None and kind is not bool:
        raise Damage(f"a value of type {kind.__name__}")


def arrays(
    path: Path,
    most: int = MOST_ARRAYS,
    packed: int = MOST_PACKED,
    wanted: Collection[str] | None = None,
    kinds: str = KINDS,
) -> dict[str, NDArray[Any]]:
    """Return the arrays of an npz archive: numbers, as large as its size makes believable.

    That is `most` bytes, or `packed` times those of the file. Only `wanted` ones are looked at,
    where that says so; `kinds` are those of dtypes. Raises OSError or Damage; nothing is ever
    unpickled.
    """
    with _archive(path) as (archive, size):
        return dict(_members(archive, max(most, packed * size), wanted, kinds))


def members(path: Path) -> list[str]:
    """Return the names of the arrays in an npz archive. Raises OSError or Damage."""
    with _archive(path) as (archive, _):
        return [name.removesuffix(".npy") for name in archive.namelist()]


@contextlib.contextmanager
def _archive(path: Path) -> Iterator[tuple[zipfile.ZipFile, int]]:
    """Open a zip archive; yield it with its size. What is wrong with it is Damage."""
    import zipfile  # here: who reads text alone does not wait for it

    with _opened(path, MOST_TENSORS) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                yield archive, os.fstat(file.fileno()).st_size
        except Damage:
            raise
        except OSError as error:
            raise error if error.errno is not None else Damage(_reason(error)) from None
        except (
            ValueError, KeyError, EOFError, RuntimeError, NotImplementedError, MemoryError,
            SyntaxError, OverflowError, TypeError, zipfile.BadZipFile, zlib.error,
        ) as error:  # fmt: skip
            raise Damage(_reason(error)) from None


def unzipped(stored: bytes, most: int) -> bytes:
    """Return what gzip holds, of one member. Raises Damage for damage, and for more than `most`."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        found = unpacker.decompress(stored, most + 1)
    except zlib.error as error:
        raise Damage(_reason(error)) from None
    if len(found) > most:
        raise Damage(f"it holds more than {most:,} bytes")
    if not unpacker.eof:
        raise Damage("truncated")
    return found


def tensors(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return the arrays of a safetensors file, and its metadata. Raises OSError or Damage."""
    from safetensors import SafetensorError, safe_open

    with _opened(path, MOST_TENSORS) as file:
        first = file.read(9)  # the length of a header of 640 bytes looks like a pickle
        if first.startswith(PICKLES) and first[8:] != b"{":
            raise Damage(
                "it is a pickle or a PyTorch file, which nnbench never loads; it takes safetensors"
            )
    try:
        with safe_open(path, framework="np") as opened:
            found = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            return found, dict(opened.metadata() or {})
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, MemoryError) as error:
        raise Damage(_reason(error)) from None


def reason(error: Exception) -> str:
    """Return why a file cannot be used, in a few words, without a full stop."""
    known = isinstance(error, OSError) and error.strerror
    return str(known) if known else _reason(error)


def _opened(path: Path, most: int) -> IO[bytes]:
    return os.fdopen(_handle(path, most), "rb")


def _handle(path: Path | str, most: int) -> int:
    """Open a plain file of at most `most` bytes; a pipe or a device would never end."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise Damage("it is " + ("a directory" if stat.S_ISDIR(found.st_mode) else "no plain file"))
    if found.st_size > most:
        os.close(handle)
        raise Damage(f"it has {found.st_size:,} bytes, more than the {most:,} that are read")
    return handle


def _members(
    archive: zipfile.ZipFile, most: int, wanted: Collection[str] | None, kinds: str
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the arrays of an archive; what each claims is checked before it is made."""
    left, seen = most, set()
    if len(archive.infolist()) > MOST_DEPTH * 1000:
        raise Damage(f"it has {len(archive.infolist()):,} members")
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if wanted is not None and name not in wanted:
            continue
        left -= info.file_size
        if left < 0:
            raise Damage(f"it claims to hold more than {most:,} bytes")
        if name in seen:
            raise Damage(f"{name} is in it twice")
        seen.add(name)
        yield name, _array(name, archive.read(info), kinds)


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


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise Damage(f"'{twice[:40]}' is set twice")
    return values


def _no_number(name: str) -> Any:
    raise Damage(f"{name} is no number")


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{lines[0][:200].rstrip('. ')}" if lines else type(error).__name__


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_number)
