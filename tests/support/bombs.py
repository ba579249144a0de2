"""Small files that would take memory or time out of all proportion, read one after the other.

`python -m support.bombs` says, a line each, what was read, or took too much; nothing is well.
"""

from __future__ import annotations

import io
import json
import struct
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nnbench.config import located
from nnbench.credentials import hidden_in
from nnbench.errors import NNBenchError
from nnbench.records import text, trajectory
from nnbench.schema import archives, files
from support.damage import sparse
from support.records import memory

MOST_BYTES = 500 * 2**20
MOST_SECONDS = 60.0  # of the processor; each takes less than one
SIZE = 60 * 2**20
Read = Callable[[], object]


def lying(claim: int = 1000, size: int = 2**30) -> bytes:
    """Return an archive of a megabyte that says it holds a kilobyte, and holds a gigabyte."""
    header = io.BytesIO()
    kind = {"descr": "|u1", "fortran_order": False, "shape": (claim - 128,)}
    np.lib.format.write_array_header_1_0(header, kind)
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("logits.npy", "w", force_zip64=True) as member:
            member.write(header.getvalue())
            for _ in range(size // 2**20):
                member.write(bytes(2**20))
        archive.infolist()[0].file_size = claim
    return stored.getvalue()


def packed_as(method: int) -> bytes:
    """Return an archive whose list says that a member is packed in another way."""
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("logits.npy", b"x" * 500)
    found = bytearray(stored.getvalue())
    at = found.rfind(b"PK\x01\x02")
    found[at + 10 : at + 12] = found[8:10] = struct.pack("<H", method)
    return bytes(found)


def listing(path: Path, size: int, members: int) -> None:
    """Make an archive of nothing but a list of `size` bytes, which are zeros."""
    sparse(path, size)
    with path.open("ab") as file:
        file.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, members, members, size, 0, 0))


def headed(count: int) -> bytes:
    """Return a safetensors file of `count` tensors that have nothing in them."""
    nothing = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    header = ("{" + ",".join(f'"{i}":{nothing}' for i in range(count)) + "}").encode()
    return len(header).to_bytes(8, "little") + header


def hollow(path: Path) -> None:
    """Make a safetensors file of 3 GiB that take no disk."""
    size = 3 * 2**30
    claim = {"0.kernel": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}
    header = json.dumps(claim).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with path.open("ab") as file:
        file.truncate(8 + len(header) + size)


def laughing() -> bytes:
    """Return YAML in which a billion laughs are the key of a mapping."""
    lines = ["a: &a [x,x,x,x,x,x,x,x,x,x]"]
    for one, other in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{other}: &{other} [{','.join([f'*{one}'] * 10)}]")
    return "\n".join([*lines, "? *i", ": 1", ""]).encode()


def bombs(folder: Path) -> dict[str, Read]:
    """Return what reads each; every one is refused in a few words, or read at little cost."""

    def written(content: bytes, read: Callable[[Path], object], name: str = "x.npz") -> Read:
        path = folder / name

        def do() -> object:
            path.write_bytes(content)
            return read(path)

        return do

    def made(make: Callable[[Path], object], read: Callable[[Path], object]) -> Read:
        return lambda: (make(folder / "made"), read(folder / "made"))

    def points(**arrays: np.ndarray) -> Read:
        stored = io.BytesIO()
        np.savez_compressed(stored, allow_pickle=False, **arrays)
        load = lambda path: trajectory.load(path.parent)  # noqa: E731
        return written(stored.getvalue(), load, "trajectory.npz")

    def listed(item: bytes) -> Read:
        return lambda: files.json_object(b'{"a":[%b1]}' % (item * (SIZE // len(item))))

    keys = b",".join(b'"%d":1' % i for i in range(300_000))
    many = np.zeros((20_000_000, 1), np.uint8)
    return {
        "lists": listed(b"[],"),
        "mappings": listed(b"{},"),
        "numbers": listed(b"0.5,"),
        "texts": listed('"éé",'.encode()),
        "a text": lambda: files.json_object(('{"a":"' + "x" * SIZE + '\\ud83d\\ude00"}').encode()),
        "keys, one twice": lambda: files.json_object(b'{%b,"299999":1}' % keys),
        "lines of a record": lambda: text.pieces(b"{" + b'\n "a": ' * (SIZE // 7)),
        "a name": lambda: text.head(b'{\n "run_id": "' + b'\\"' * (SIZE // 2)),
        "an archive that lies": written(lying(), archives.arrays),
        **{f"packing {m}": written(packed_as(m), archives.arrays) for m in (9, 12, 14, 93, 95)},
        "a list of members": made(lambda p: listing(p, 3 * 2**30, 10), archives.arrays),
        "many members": made(lambda p: listing(p, SIZE, 65535), archives.arrays),
        "tensors": written(headed(1_000_000), archives.tensors),
        "hollow weights": made(hollow, archives.tensors),
        "points": points(**{"0.kernel": many}),
        "first points": points(**{"0.kernel": many[:5], "first/0.kernel": many,
                                  "first/steps": np.zeros(2, int)}),
        "no values": points(**{"0.kernel": np.zeros((2**40, 0), np.uint8)}),
        "YAML, long": written(b"a: [" + b"1," * (SIZE // 2) + b"1]", located.load),
        "YAML, a list": written(b"a: [" + b"1," * 2**18 + b"1]", located.load),
        "YAML, deep": written(b"a: " + b"[" * 200_000, located.load),
        "YAML, deep mappings": written(b"{a: " * 200_000, located.load),
        "YAML, laughing": written(laughing(), located.load),
        "YAML, in itself": written(b"a: &a [*a]", located.load),
        "a URI": lambda: hidden_in("x://h?" + "a=b&" * 2**16),
    }  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        for what, read in bombs(Path(name)).items():
            before, began = memory(), time.process_time()
            try:
                read()
            except (NNBenchError, files.Damage) as error:
                if len(str(error).splitlines()) != 1 or len(str(error)) > 600:
                    sys.stdout.write(f"{what}: {error!r:.600}\n")
            except Exception as error:
                sys.stdout.write(f"{what}: {error!r:.600}\n")
            if memory() - before > MOST_BYTES or time.process_time() - began > MOST_SECONDS:
                took = f"{(memory() - before) >> 20} MiB, {time.process_time() - began:.0f} s"
                sys.stdout.write(f"{what}: {took}\n")


if __name__ == "__main__":
    main()
