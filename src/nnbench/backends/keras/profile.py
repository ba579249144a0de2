"""TensorFlow's own profile as rows."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from nnbench.backends.protocol import ProfileRow, with_between


def profile_rows(train: Callable[[], object], steps: int) -> list[ProfileRow]:
    """Return what each operation took of `train`, which takes `steps` steps.

    Seconds are those of an operation without the operations inside it, added up over threads; what
    is left of the time that passed is the row "between operations".
    """
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        start = time.perf_counter()
        try:
            train()
            passed = time.perf_counter() - start
        finally:
            tf.profiler.experimental.stop()
        found: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for path in Path(folder).rglob("*.xplane.pb"):
            space = xplane_pb2.XSpace()
            space.ParseFromString(path.read_bytes())
            for plane in space.planes:
                for line in plane.lines:
                    for kind, seconds in _own_seconds(line.events):
                        name = plane.event_metadata[kind].name.rpartition(":")[0]
                        row = found[name or plane.event_metadata[kind].name]
                        row[0] += seconds
                        row[1] += 1
    rows = [
        ProfileRow("", name, seconds / steps, calls / steps)
        for name, (seconds, calls) in found.items()
    ]
    return with_between(rows, passed / steps)


def _own_seconds(events: Any) -> Iterator[tuple[int, float]]:
    """Yield (kind, seconds) of each event of a thread, less those that lie within it."""
    ordered = sorted(events, key=lambda event: (event.offset_ps, -event.duration_ps))
    open_events: list[list[Any]] = []  # [kind, end, own picoseconds]
    for event in ordered:
        while open_events and open_events[-1][1] <= event.offset_ps:
            kind, _, own = open_events.pop()
            yield kind, own * 1e-12
        if open_events:
            open_events[-1][2] -= event.duration_ps
        end = event.offset_ps + event.duration_ps
        open_events.append([event.metadata_id, end, event.duration_ps])
    for kind, _, own in open_events:
        yield kind, own * 1e-12
