"""BLAS pools: where there are several threads, they are those of one library."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

Library = Literal["numpy", "scipy"]  # each brings a BLAS of its own


def leave_threads_to(library: Library, threads: int) -> None:
    """Give the library's BLAS pool so many threads, every other that is loaded one.

    NumPy and SciPy bring an OpenBLAS each, with as many threads: two pools that wait for each
    other's cores made steps 80 times slower (docs/decisions.md, 17). What they compute stays the
    same.
    """
    from threadpoolctl import ThreadpoolController

    pools = ThreadpoolController().select(user_api="blas").lib_controllers
    folders = {pool.filepath: Path(pool.filepath).parent for pool in pools}
    chosen = {path for path, folder in folders.items() if _brings(library, folder)}
    for pool in pools if chosen else ():  # of one installation they share a library
        pool.set_num_threads(threads if pool.filepath in chosen else 1)


def _brings(library: str, folder: Path) -> bool:
    """Tell the folder of the libraries in the wheel of `library`."""
    return folder.name == f"{library}.libs" or folder.parts[-2:] == (library, ".dylibs")
