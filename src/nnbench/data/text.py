"""Text files as people have them, packed or not, in any usual encoding; and what is none."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

from nnbench.errors import DataError
from nnbench.schema import closest, files

MOST_BYTES = 2**31
OTHER_KINDS = (
    (b"PAR1", "a Parquet file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook"),
    (b"\x93NUMPY", "a NumPy array"),
)
AS_CSV = "save it as CSV, for example with pandas.DataFrame.to_csv(index=False)"


def content(setting: str, path: Path) -> bytes:
    """Return what the file holds, unpacked where it is compressed."""
    try:
        stored = files.content(path, MOST_BYTES)
        if stored.startswith(b"PK\x03\x04"):
            return _zipped(path)
        for magic, module in ((b"\x1f\x8b", gzip), (b"BZh", bz2), (b"\xfd7zXZ", lzma)):
            if stored.startswith(magic):
                with module.open(path) as file:
                    stored = file.read(MOST_BYTES + 1)
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is damaged ({error}); bring it anew") from None
    except (OSError, files.Damage) as error:
        raise unreadable(setting, path, error) from None
    if len(stored) > MOST_BYTES:
        raise DataError(f"{path} holds more than 2 GiB; data=csv takes smaller tables")
    return stored


def unreadable(setting: str, path: Path, error: OSError | files.Damage) -> DataError:
    """Return the error for a file that cannot be read, with the one that was perhaps meant."""
    said = f"Received {setting}={path}; cannot read it ({files.reason(error)})"
    if isinstance(error, FileNotFoundError) and path.parent.is_dir():
        there = sorted(each.name for each in path.parent.iterdir() if each.is_file())
        if near := closest(path.name, there):
            return DataError(f"{said}; did you mean {path.with_name(near)}?")
    return DataError(said)


def _zipped(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        if any(name.startswith("xl/") for name in names):
            raise DataError(f"{path} is an Excel workbook; {AS_CSV}")
        if any(name.endswith(".npy") for name in names):
            raise DataError(f"{path} holds NumPy arrays; use data=npz")
        if len(names) != 1:
            raise DataError(f"{path} is an archive of {few(names)}; unpack it and name one file")
        with archive.open(names[0]) as member:
            return member.read(MOST_BYTES + 1)


def decoded(path: Path, stored: bytes, guessed: dict[str, Any]) -> str:
    """Return the text with plain line ends; an unusual encoding is noted in `guessed`."""
    for magic, kind in OTHER_KINDS:
        if stored.startswith(magic):
            raise DataError(f"{path} is {kind}; {AS_CSV}")
    encodings = ["utf-8-sig", "cp1252"]
    if stored.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    for encoding in encodings:
        try:
            text = stored.decode(encoding)
        except UnicodeError:
            continue
        if "\0" not in text:
            if encoding != encodings[0] or encoding == "utf-16":
                guessed["encoding"] = encoding
            return text.replace("\r\n", "\n").replace("\r", "\n")
    raise DataError(f"{path} is not text; data=csv reads tables in plain text, {AS_CSV}")


def reject_other_texts(path: Path, first: str) -> None:
    """Raise DataError where the first line is that of another format."""
    if first.lower().startswith("@relation") or first.startswith("%"):
        raise DataError(f"{path} is an ARFF file; {AS_CSV}")
    if first.startswith(("{", "[")):
        raise DataError(f"{path} is JSON; {AS_CSV}")
    if first.startswith("<"):
        raise DataError(f"{path} is a web page or XML; {AS_CSV}")
    if re.fullmatch(r"\S+( +\d+:\S+)+", first):
        raise DataError(f"{path} is in LIBSVM format (index:value); {AS_CSV}")


def few(names: list[str]) -> str:
    """List the first few of `names`, cut short."""
    listed = ", ".join(name if len(name) <= 24 else name[:21] + "..." for name in names[:5])
    return listed + (f" and {len(names) - 5} more" if len(names) > 5 else "")
