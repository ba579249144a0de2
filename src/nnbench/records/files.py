"""Files of a run: replaced in one step, or one line on why they cannot be written."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnbench.errors import ResultsError
from nnbench.writing import write

if TYPE_CHECKING:
    from numpy.typing import NDArray


def write_atomically(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one step, so that a reader sees the old or the new.

    Raises ResultsError when the disk refuses; the old content then remains.
    """
    try:
        write(path, content)
    except OSError as error:
        raise ResultsError(
            f"Cannot write {path}: {error.strerror or error}; free some space or choose "
            "results=DIR elsewhere."
        ) from None


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an npz archive, as `write_atomically`.

    Integers are compressed. Weights and logits are noise to deflate: it takes an eighth off them,
    and unpacking would be half of the time in which a report reads them.
    """
    import zipfile  # here: records are read without them

    import numpy as np

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, values in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")
            if values.dtype.kind != "f":
                member.compress_type = zipfile.ZIP_DEFLATED
            content = io.BytesIO()
            np.save(content, values, allow_pickle=False)
            archive.writestr(member, content.getbuffer())
    write_atomically(path, buffer.getvalue())
