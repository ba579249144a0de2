"""run.json taken apart, and lists of runs by their heads: what they say is what the whole says."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from pathlib import Path
from typing import Annotated, Any

import pytest

from nnbench import schema
from nnbench.errors import ConfigError
from nnbench.records import text
from nnbench.records.folder import Folder
from nnbench.records.run import EpochRecord, _form
from nnbench.schema import read
from nnbench.schema.columns import rows_sound
from nnbench.schema.files import Damage
from nnbench.schema.limits import UNKNOWN, at_least, within
from support import damage
from support.records import make_run


@pytest.fixture
def stored(tmp_path: Path) -> bytes:
    run = make_run(tmp_path / "runs" / "r0")
    run.write()
    return (tmp_path / "runs" / "r0" / "run.json").read_bytes()


def outcome(read: Any, content: bytes) -> Any:
    """Return the fields that `read` finds, or what it raises."""
    try:
        return read(content, _form())
    except (Damage, ConfigError, text.Newer) as error:
        return type(error), str(error)


def test_pieces_say_what_the_whole_says(stored: bytes) -> None:
    assert text._by_pieces(stored, _form()) == text._as_a_whole(stored, _form())
    by_pieces = 0
    for seed in range(400):
        rng = random.Random(seed)
        make = rng.choice((damage.changed, damage.changed, damage.spelled, damage.recoded))
        content = make(stored, rng)
        if make is damage.spelled and rng.random() < 0.8:
            try:
                content = damage.signed(json.loads(content))
            except ValueError:
                continue
        whole = outcome(text._as_a_whole, content)
        assert outcome(text.fields, content) == whole, seed
        try:
            pieces = text._by_pieces(content, _form())
        except (Damage, ConfigError):
            continue
        assert pieces is None or pieces == whole, seed
        by_pieces += pieces is not None
    assert by_pieces > 40


def signed(before: str) -> bytes:
    """Return a text with its digest at the end."""
    return f'{before}"digest": "{text.digest(before.encode()).decode()}"\n}}\n'.encode()


def test_lines_that_only_look_like_keys_deceive_nobody(stored: bytes) -> None:
    """A mapping within that begins its lines as the outermost does, and keys that come twice."""
    before = stored.decode().rpartition('"digest"')[0]
    evil = [
        before.replace('"config": {\n  "', '"config": {\n "name": "evil",\n "x": {},\n  "', 1),
        before.replace(' "status":', ' "name": "evil",\n "status":', 1),
        before.replace(
            ' "semantics": "', ' "choices": {\n "status": "failed"\n},\n "semantics": "'
        ),
        before.replace("109386,", "109386", 1),
        before.replace('"data": {', '"data": {\n "status": "failed",\n "name": "x",', 1),
    ]
    for content in map(signed, evil):
        assert content != stored
        assert text.has_its_digest(content)
        assert outcome(text.fields, content) == outcome(text._as_a_whole, content)
        assert text.head(content) in (None, text.head(stored))


def test_a_value_is_what_its_own_field_says(tmp_path: Path) -> None:
    """Equal texts in different fields, and records that share most of their text."""
    runs = [
        dataclasses.replace(make_run(tmp_path / "runs" / f"r{i}"), run_id=f"r{i}", parameters=i % 2)
        for i in range(6)
    ]
    for run in runs:
        run.write()
    found = Folder(tmp_path).runs()
    assert sorted(found, key=lambda run: run.run_id) == runs
    assert [type(run.parameters) for run in found] == [int] * 6


def test_the_latest_are_those_of_the_whole_list(tmp_path: Path) -> None:
    """Whatever is damaged: the same runs, the same lines about the others."""
    for i in range(12):
        run = make_run(tmp_path / "runs" / f"r{i}")
        name = f'n{i} é \\ "q" \x1b[31m'
        dataclasses.replace(run, run_id=f"r{i}", name=name, created=f"2026-01-{i + 1:02}").write()
    sound = {i: (tmp_path / "runs" / f"r{i}" / "run.json").read_bytes() for i in range(12)}
    for seed in range(60):
        rng = random.Random(seed)
        for i in rng.sample(range(12), 3):
            make = rng.choice((damage.flipped, damage.cut, damage.filled, damage.foreign))
            (tmp_path / "runs" / f"r{i}" / "run.json").write_bytes(make(sound[i], rng))
        whole, known = Folder(tmp_path), Folder(tmp_path)
        runs, most = whole.runs(), rng.choice((0, 1, 5, 50))
        found = known.latest(most, lambda head: "n1" in head.name)
        fitting = [run for run in runs if "n1" in run.name]
        assert found.runs == fitting[-most:], seed
        assert (found.fitting, found.total) == (len(fitting), len(runs))
        assert sorted(known.problems) == sorted(whole.problems)
        for i, content in sound.items():
            (tmp_path / "runs" / f"r{i}" / "run.json").write_bytes(content)


def test_a_head_needs_the_digest(stored: bytes) -> None:
    head = text.head(stored)
    assert head is not None
    assert head.status == "finished"
    at = stored.index(b'"train_loss"')
    assert text.head(stored[:at] + b"X" + stored[at + 1 :]) is None
    assert text.head(damage.signed(json.loads(stored), indent=None)) is None  # read as a whole


@dataclasses.dataclass(frozen=True)
class Line:
    """A row with every kind of number."""

    count: Annotated[int, at_least(0)]
    share: Annotated[float, within(0, 1)] | None
    loss: Annotated[float, UNKNOWN]
    seconds: Annotated[float, at_least(0)] | None = None


def test_columns_say_no_where_a_row_would() -> None:
    values = (0, 1, -1, 2**63, 0.5, 1.5, -0.0, math.nan, math.inf, None, True, "x", [], 1e308)
    kinds = {"count": Annotated[int, at_least(0)], "share": Annotated[float, within(0, 1)] | None,
             "loss": Annotated[float, UNKNOWN],
             "seconds": Annotated[float, at_least(0)] | None}  # fmt: skip
    rng, sound = random.Random(5), 0
    for _ in range(4000):
        rows = [
            {"count": 1, "share": 0.5, "loss": 2.0, "seconds": 1.0}
            | {rng.choice(list(kinds)): rng.choice(values)}
            for _ in range(rng.choice((1, 2)))
        ]
        if rng.random() < 0.05:
            rows[0].pop("seconds")
        if rows_sound(kinds, rows):
            sound += 1
            for row in rows:
                assert dataclasses.asdict(read(Line, row)) == row
                assert [type(v) for v in dataclasses.asdict(read(Line, row)).values()] == [
                    type(v) for v in row.values()
                ]
    assert 500 < sound < 3500


def test_epochs_are_read_by_columns(stored: bytes) -> None:
    kinds = {name: kind for name, (kind, *_) in schema._fields(EpochRecord).items()}
    rows = json.loads(stored)["epochs"]
    assert rows
    assert rows_sound(kinds, rows)
