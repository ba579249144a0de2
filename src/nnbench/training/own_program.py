"""A file of a user's own, imported, and its `build()`; whatever it does becomes one line."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from nnbench.backends.program import ROOMS, framework_of, room_of
from nnbench.errors import ConfigError
from nnbench.formatting import cut
from nnbench.schema.deferred import dataclass

IMPORTS = {"torch": "torch", "keras": "keras", "tensorflow": "keras"}
SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class OwnProgram:
    """A file and the function in it that builds; `shown` is how it was typed."""

    path: Path
    function: str
    module: ModuleType
    seed: int

    @property
    def shown(self) -> str:
        """Return the file's name."""
        return self.path.name

    @classmethod
    def load(cls, path: Path, function: str, seed: int) -> OwnProgram:
        """Import the file. Raises ConfigError, one line, with what went wrong and where."""
        for name in imported(path):
            seed_all(seed, name)
        seed_all(seed)
        sys.path.insert(0, str(path.parent))
        sys.argv = [str(path)]
        spec = importlib.util.spec_from_file_location("own_program", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["own_program"] = module
        with _watched(path), own_errors(path, "fails on import"):
            spec.loader.exec_module(module)
        if not callable(getattr(module, function, None)):
            known = [n for n, v in vars(module).items() if callable(v) and n.startswith("build")]
            hint = f"; there is {', '.join(known)}" if known else ""
            raise ConfigError(
                f"{path.name} has no function {function}(){hint}; write one that returns (model, "
                "optimizer, loss) for PyTorch, a compiled model for Keras."
            )
        return cls(path, function, module, seed)

    def build(self, seed: int | None = None) -> Any:
        """Call the function, random states seeded. Raises ConfigError, one line."""
        for name in [name for name in ROOMS if name in sys.modules]:
            seed_all(self.seed if seed is None else seed, name)
        seed_all(self.seed if seed is None else seed)
        with _watched(self.path), own_errors(self.path, f"{self.function}() fails"):
            return getattr(self.module, self.function)()

    def data(self) -> Any:
        """Return what `data()` beside it returns, None without."""
        if not callable(getattr(self.module, "data", None)):
            return None
        with own_errors(self.path, "data() fails"):
            return self.module.data()


def imported(path: Path) -> list[str]:
    """Return which of the frameworks that programs are written in a file imports.

    Raises ConfigError where it cannot be read.
    """
    try:
        tree = ast.parse(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror}.") from None
    except (SyntaxError, ValueError) as error:
        where = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise ConfigError(f"{path.name} is not Python{where}: {error}.") from None
    names = [alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names]
    names += [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    tops = (name.partition(".")[0] for name in names)
    return list(dict.fromkeys(IMPORTS[top] for top in tops if top in IMPORTS))


def seed_all(number: int, framework: str | None = None) -> None:
    """Seed Python's and NumPy's random state, or a framework's."""
    if framework is None:
        random.seed(number)
        np.random.seed(number % 2**32)
        return
    with contextlib.suppress(ImportError):  # the file's own import says what is missing
        room_of(framework).seed(number)


@contextlib.contextmanager
def _watched(path: Path) -> Iterator[None]:
    """Have the rooms note which line makes what."""
    with contextlib.ExitStack() as stack:
        for name in ROOMS:
            if name in sys.modules:
                stack.enter_context(room_of(name).recording(str(path)))
        yield


@contextlib.contextmanager
def own_errors(path: Path, what: str) -> Iterator[None]:
    """Turn whatever a user's code raises, an exit too, into one line with the file's own line."""
    try:
        yield
    except ConfigError:
        raise
    except BaseException as error:
        from nnbench.training.worker import out_of_memory

        memory = out_of_memory(error) if isinstance(error, Exception) else None
        kind = "it leaves by exit()" if isinstance(error, SystemExit) else type(error).__name__
        told = str(error).strip().partition("\n")[0] if not isinstance(error, SystemExit) else ""
        said = f"{kind}: {told}" if told else kind
        said = memory.partition(";")[0] if memory else said
        raise ConfigError(
            f"{path.name} {what}{_line(error, path)}: {cut(said, SHOWN_CHARACTERS)}".rstrip(".")
            + "."
        ) from None


def _line(error: BaseException, path: Path) -> str:
    """Return the innermost line of the file that an error came from."""
    found, trace = 0, error.__traceback__
    while trace is not None:
        if os.path.realpath(trace.tb_frame.f_code.co_filename) == os.path.realpath(path):
            found = trace.tb_lineno
        trace = trace.tb_next
    return f" in line {found}" if found else ""


def framework(built: Any, function: str, file: str) -> str:
    """Return whose objects were built. Raises ConfigError for those of neither framework."""
    found = framework_of(built)
    if found is None:
        raise ConfigError(
            f"{file}: {function}() returned {type(built).__name__}; it must return (model, "
            "optimizer, loss) of PyTorch, with a scheduler perhaps, or a compiled Keras model."
        )
    return found
