"""Programs of a user's own, from source, for tests of what is read of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any


def loaded(room: Any, source: str, tmp_path: Path) -> Callable[[], Any]:
    """Return the `build` of a file with this source, as the room of its framework sees it."""
    path = tmp_path / "program.py"
    path.write_text(source)
    found = importlib.util.spec_from_file_location("program_of_a_test", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    with room.recording(str(path)):
        found.loader.exec_module(module)

    def build() -> Any:
        room.seed(0)
        with room.recording(str(path)):
            return module.build()

    return build
