"""BLAS pools: where there are several threads, they are NumPy's alone."""

from __future__ import annotations

from pathlib import Path


def leave_threads_to_numpy(threads: int) -> None:
    """Give NumPy's BLAS pool so many threads, every other that is loaded one.

    SciPy brings an OpenBLAS of its own, with as many threads: two pools that wait for each other's
    cores made steps 80 times slower (docs/decisions.md, 17). What they compute stays the same.
    """
    from threadpoolctl import ThreadpoolController

    pools = ThreadpoolController().select(user_api="blas").lib_controllers
    folders = {pool.filepath: Path(pool.filepath).parent for pool in pools}
    numpys = {path for path, folder in folders.items() if _is_numpys(folder)}
    for pool in pools if numpys else ():  # of one installation they share a library: NumPy's too
        pool.set_num_threads(threads if pool.filepath in numpys else 1)


def _is_numpys(folder: Path) -> bool:
    """Tell the folder of the libraries in NumPy's wheel."""
    return folder.name == "numpy.libs" or folder.parts[-2:] == ("numpy", ".dylibs")
