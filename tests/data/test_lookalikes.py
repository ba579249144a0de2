"""Files as people have them: however a table was saved, the same data come out of it, or a remedy.

Iris and digits are written in every way that people write tables and arrays; what is read is held
against what was written, sample by sample.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nnbench
from nnbench import data
from nnbench.data import bundled, reading
from nnbench.data.config import Csv, Digits, Npz
from nnbench.errors import DataError

NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
WORDS = ["setosa", "versicolor", "virginica"]
TABLE = bundled.load("iris")
X, Y = TABLE[:, :4], TABLE[:, 4].astype(int)
COLUMNS = {name: [f"{v:g}" for v in X[:, i]] for i, name in enumerate(NAMES)}


def text(columns: dict[str, list[str]], separator: str = ",", header: bool = True) -> str:
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    lines = ([list(columns)] if header else []) + rows
    return "\n".join(separator.join(fields) for fields in lines) + "\n"


def labelled(labels: list[str], name: str = "label", **words: Any) -> str:
    return text(COLUMNS | {name: labels}, **words)


NUMBERS = [str(y) for y in Y]
SPECIES = [WORDS[y] for y in Y]
NUMBERED = [str(i + 1) for i in range(len(Y))]
PLAIN = labelled(NUMBERS)
EUROPEAN = {name: [v.replace(".", ",") for v in values] for name, values in COLUMNS.items()}
QUOTED = "\n".join(",".join(f'"{f}"' for f in line.split(",")) for line in PLAIN.splitlines())
PADDED = "\n".join(", ".join(line.split(",")) for line in PLAIN.splitlines())
ALIGNED = "\n".join("".join(f"{f:>14}" for f in line.split(",")) for line in PLAIN.splitlines())
TRAILING = "\n".join(line + "," for line in PLAIN.splitlines())
HALF = {"sepal_width": ["" if i % 10 == 3 else v for i, v in enumerate(COLUMNS["sepal_width"])]}

FIRST = {NAMES[0]: COLUMNS[NAMES[0]]}
ID = {"Id": NUMBERED}
PLACES = {"place": ["a", "b", "c"] * 50}

# name: (text, the settings it needs, what must be said)
TEXTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "plain": (PLAIN, {}, ""),
    "label first": (text({"label": NUMBERS} | COLUMNS), {}, ""),
    "label second": (text(FIRST | {"label": NUMBERS} | COLUMNS), {}, ""),
    "semicolons": (labelled(NUMBERS, separator=";"), {}, "separated by semicolons"),
    "tabs": (labelled(NUMBERS, separator="\t"), {}, "separated by tabs"),
    "bars": (labelled(NUMBERS, separator="|"), {}, "separated by vertical bars"),
    "spaces": (labelled(NUMBERS, separator=" "), {}, "separated by spaces"),
    "aligned": (ALIGNED, {}, "separated by spaces"),
    "decimal commas": (text(EUROPEAN | {"label": NUMBERS}, ";"), {}, "decimal commas"),
    "tabs, decimal commas": (text(EUROPEAN | {"label": NUMBERS}, "\t"), {}, "decimal commas"),
    "quoted": (QUOTED, {}, ""),
    "spaces after commas": (PADDED, {}, ""),
    "a comma at every end": (TRAILING, {}, "without column ''"),
    "blank lines": (PLAIN.replace("\n5.1", "\n\n5.1") + "\n \n\n", {}, ""),
    "windows lines": (PLAIN.replace("\n", "\r\n"), {}, ""),
    "old mac lines": (PLAIN.replace("\n", "\r"), {}, ""),
    "words": (labelled(SPECIES), {}, "classes setosa=0, versicolor=1, virginica=2"),
    "quoted words": (labelled([f'"{w}"' for w in SPECIES]), {}, "classes setosa=0"),
    "accents": (labelled([w + "é" for w in SPECIES]), {}, "classes setosaé=0"),
    "from 1": (labelled([str(y + 1) for y in Y]), {}, "classes 1=0, 2=1, 3=2"),
    "0, 5, 10": (labelled([str(5 * y) for y in Y]), {}, "classes 0=0, 5=1, 10=2"),
    "-1, 0, 1": (labelled([str(y - 1) for y in Y]), {}, "classes -1=0, 0=1, 1=2"),
    "floats": (labelled([f"{y}.0" for y in Y]), {}, ""),
    "named species": (labelled(SPECIES, "Species"), {}, "label in column 'Species'"),
    "named target": (labelled(NUMBERS, "target"), {}, "label in column 'target'"),
    "a name of its own": (labelled(SPECIES, "what it is"), {}, "label in column 'what it is'"),
    "asked for": (labelled(NUMBERS, "kind"), {"label": "kind"}, ""),
    "asked for by place": (labelled(NUMBERS, "kind"), {"label": "-1"}, ""),
    "no header, words": (labelled(SPECIES, header=False), {}, "no header line"),
    "no header, numbers": (labelled(NUMBERS, header=False), {}, "label in column '4'"),
    "no header, label first": (
        text({"label": NUMBERS} | COLUMNS, header=False), {}, "label in column '0'",
    ),
    "numbered header": (
        text({str(i): v for i, v in enumerate([*COLUMNS.values(), NUMBERS])}), {}, "column '4'",
    ),
    "pandas' index": (
        text({"": [str(i) for i in range(len(Y))]} | COLUMNS | {"label": NUMBERS}), {}, "without",
    ),
    "an id": (text({"Id": NUMBERED} | COLUMNS | {"label": NUMBERS}), {}, "without column 'Id'"),
    "an id without header": (
        text(ID | COLUMNS | {"label": NUMBERS}, header=False), {}, "without column '0'",
    ),
    "a column of words, dropped": (
        text(PLACES | COLUMNS | {"label": NUMBERS}), {"drop": ("place",)}, "",
    ),
    "one-hot": (
        text(COLUMNS | {w: [str(int(s == w)) for s in SPECIES] for w in WORDS}),
        {"label": tuple(WORDS)},
        "classes setosa=0",
    ),
    "exponents": (
        text({n: [f"{float(v):.3e}" for v in c] for n, c in COLUMNS.items()} | {"label": NUMBERS}),
        {}, "",
    ),
}  # fmt: skip
ENCODED: dict[str, Callable[[str], bytes]] = {
    "utf-8 with a mark": lambda t: t.encode("utf-8-sig"),
    "utf-16": lambda t: t.encode("utf-16"),
    "western": lambda t: t.replace("setosa", "sétosa").encode("cp1252"),
    "gzip": lambda t: gzip.compress(t.encode()),
    "bzip2": lambda t: bz2.compress(t.encode()),
    "xz": lambda t: lzma.compress(t.encode()),
}


def samples(dataset: data.Dataset) -> set[tuple[float, ...]]:
    return {
        (*x, float(t))
        for split in dataset.splits.values()
        for x, t in zip(split.inputs.reshape(len(split), -1).tolist(), split.targets, strict=True)
    }


def table(path: Path, kind: str = "classification", **values: Any) -> data.Dataset:
    return data.load(Csv(path=str(path), **{"normalize": "none"} | values), kind=kind, seed=0)


def said(dataset: data.Dataset) -> str:
    return reading.sentence("it", dataset.guessed) or ""


EXPECTED = {(*x, float(y)) for x, y in zip(X.tolist(), Y, strict=True)}


@pytest.mark.parametrize("name", TEXTS)
def test_a_table_is_the_same_however_it_was_saved(name: str, tmp_path: Path) -> None:
    content, settings, wanted = TEXTS[name]
    (tmp_path / "t.csv").write_text(content, encoding="utf-8", newline="")
    dataset = table(tmp_path / "t.csv", **settings)
    found = {tuple(sorted(row[:-1])) + row[-1:] for row in samples(dataset)}
    assert found == {tuple(sorted(row[:-1])) + row[-1:] for row in EXPECTED}
    assert sum(len(split) for split in dataset.splits.values()) == 150
    assert dataset.outputs == 3
    assert wanted in said(dataset)
    assert bool(said(dataset)) == bool(wanted or settings.get("label") == tuple(WORDS))


@pytest.mark.parametrize("name", ENCODED)
def test_however_it_was_encoded_or_packed(name: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(ENCODED[name](labelled(SPECIES)))
    assert samples(table(tmp_path / "t.csv.gz")) == EXPECTED


def test_an_archive_with_one_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("t.csv", PLAIN)
    assert samples(table(tmp_path / "t.zip")) == EXPECTED


def test_rows_with_missing_values_are_named_dropped_or_filled(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for mark in ("", "NA", "?", "nan", "NULL"):
        column = [mark if v == "" else v for v in HALF["sepal_width"]]
        path.write_text(text(COLUMNS | {"sepal_width": column} | {"label": NUMBERS}))
        with pytest.raises(
            DataError, match=rf"t.csv:5: received '{mark.replace('?', '.')}' in col"
        ):
            table(path)
        dropped = table(path, missing="drop")
        assert samples(dropped) <= EXPECTED
        assert sum(map(len, dropped.splits.values())) == 135
        assert "15 rows with missing values left out" in said(dropped)
        filled = table(path, missing="mean")
        assert sum(map(len, filled.splits.values())) == 150
        train = filled.splits["train"].inputs[:, 1]
        known = {row[1] for row in EXPECTED}
        (mean,) = {v for v in train if v not in known}
        assert mean == pytest.approx(train[train != mean].mean(), rel=1e-12), "of training alone"
        assert set(filled.splits["test"].inputs[:, 1]) <= known | {mean}


def test_a_missing_label_is_never_filled(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(labelled(["" if i == 7 else y for i, y in enumerate(NUMBERS)]))
    with pytest.raises(DataError, match=r"t.csv:9: received '' in column 'label'.*missing=drop"):
        table(path, missing="mean")
    assert samples(table(path, missing="drop")) <= EXPECTED


REFUSED: dict[str, tuple[bytes, str]] = {
    "excel": (b"\xd0\xcf\x11\xe0" + b"0" * 99, "Excel workbook; save it as CSV"),
    "parquet": (b"PAR1" + b"0" * 99, "Parquet"),
    "json": (b'[{"a": 1, "b": 2}]\n', "is JSON"),
    "arff": (b"@relation iris\n@attribute a real\n", "is an ARFF file"),
    "libsvm": (b"1 1:0.5 2:0.3\n0 1:0.1 2:0.9\n", "LIBSVM"),
    "html": (b"<html><body>404</body></html>\n", "a web page"),
    "binary": (bytes(range(256)) * 4, "is not text"),
    "a column of words": (
        text({"place": ["here", "there", "x"] * 50} | COLUMNS | {"label": NUMBERS}).encode(),
        r"column 'place' holds words \(here, there, x\).*data.drop=\[place\]",
    ),
    "no label": (
        text(COLUMNS).encode(), "which column is the label.*data.label=NAME.*without labels",
    ),
    "one-hot, not said": (
        text(COLUMNS | {w: [str(int(s == w)) for s in SPECIES] for w in WORDS}).encode(),
        r"look like a one-hot label; say data.label=\[setosa,versicolor,virginica\]",
    ),
    "two labels": (
        text({"a": NUMBERS} | COLUMNS | {"b": NUMBERS}).encode(),
        "which column is the label. a, b may be; name it with data.label=NAME",
    ),
    "numbers to predict": (
        text(COLUMNS | {"target": [f"{i * 1.5}" for i in range(150)]}).encode(),
        "received 1.5 as a class label.*task=regression",
    ),
    "prices": (
        text(COLUMNS | {"target": [f"{i * 997}" for i in range(150)]}).encode(),
        "150 different labels in 150 samples.*task=regression",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_with_the_remedy(name: str, tmp_path: Path) -> None:
    stored, expected = REFUSED[name]
    (tmp_path / "t.csv").write_bytes(stored)
    with pytest.raises(DataError, match=expected) as caught:
        table(tmp_path / "t.csv")
    assert "\n" not in str(caught.value)


def test_guesses_are_part_of_the_digest(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(labelled(SPECIES))
    (tmp_path / "u.csv").write_text(PLAIN)
    words, plain = table(tmp_path / "t.csv"), table(tmp_path / "u.csv")
    assert words.digests() == plain.digests()
    assert words.guessed["classes"] == WORDS
    assert plain.guessed == {}
    other = table(tmp_path / "t.csv", drop=())
    assert other.payload_digest == words.payload_digest


# NPZ -------------------------------------------------------------------------------------------

IMAGES = data.load(Digits(), kind="classification", seed=0)
TRAIN, TEST = IMAGES.splits["train"], IMAGES.splits["test"]
PIXELS = [(split.inputs.astype(int) * 15).astype(np.uint8) for split in (TRAIN, TEST)]
LABELS = [split.targets for split in (TRAIN, TEST)]
ONE_HOT = [np.eye(10)[y] for y in LABELS]
Four = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]


def four(x: list[NDArray[Any]] = PIXELS, y: list[Any] = LABELS) -> Four:
    return x[0], y[0], x[1], y[1]


def named(names: str, arrays: Four | None = None) -> dict[str, NDArray[Any]]:
    return dict(zip(names.split(), arrays or four(), strict=True))


def keras(arrays: Four) -> dict[str, NDArray[Any]]:
    return named("x_train y_train x_test y_test", arrays)


ARCHIVES: dict[str, tuple[dict[str, NDArray[Any]], dict[str, Any], str]] = {
    "keras": (named("x_train y_train x_test y_test"), {}, ""),
    "capitals": (named("X_train Y_train X_test Y_test"), {}, "x_train from X_train"),
    "medmnist": (named("train_images train_labels test_images test_labels"), {}, "train_images"),
    "images_train": (named("images_train labels_train images_test labels_test"), {}, "x_train"),
    "trainX": (named("trainX trainY testX testY"), {}, "x_train from trainX"),
    "train_data": (named("train_data train_targets test_data test_targets"), {}, "train_data"),
    "positional": (
        named("arr_0 arr_1 arr_2 arr_3"),
        {"x": "arr_0", "y": "arr_1", "x_test": "arr_2", "y_test": "arr_3"},
        "x_train from arr_0",
    ),
    "more arrays": (
        named("x_train y_train x_test y_test") | {"classes": np.array(list("0123456789"))}, {}, "",
    ),
    "labels (n, 1)": (
        keras(four(y=[y[:, None] for y in LABELS])), {}, "",
    ),
    "one-hot": (keras(four(y=ONE_HOT)), {}, "one-hot labels of 10"),
    "one-hot of bytes": (
        keras(four(y=[y.astype(np.uint8) for y in ONE_HOT])),
        {}, "one-hot",
    ),
    "labels as floats": (
        keras(four(y=[y.astype(np.float32) for y in LABELS])), {}, "",
    ),
    "labels as words": (
        keras(four(y=[y.astype(str) for y in LABELS])),
        {}, "classes 0=0, 1=1",
    ),
    "labels from 1": (
        keras(four(y=[y + 1 for y in LABELS])),
        {}, "classes 1=0, 2=1",
    ),
    "pixels as floats": (
        keras(four([x.astype(np.float32) for x in PIXELS])),
        {}, "8-bit images stored as float32",
    ),
    "pixels as int64": (
        keras(four([x.astype(np.int64) for x in PIXELS])),
        {}, "8-bit images stored as int64",
    ),
    "channels first": (
        keras(four([x[:, None] for x in PIXELS])),
        {}, "channels first",
    ),
    "channels last": (
        keras(four([x[..., None] for x in PIXELS])), {}, "",
    ),
}  # fmt: skip


def archive(path: Path, arrays: dict[str, Any], kind: str = "classification", **v: Any) -> Any:
    np.savez(path, **arrays)
    return data.load(Npz(path=str(path), **v), kind=kind, seed=0)


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_is_the_same_however_it_was_saved(name: str, tmp_path: Path) -> None:
    arrays, settings, wanted = ARCHIVES[name]
    dataset = archive(tmp_path / "a.npz", arrays, **settings)
    for split, x, y in zip(("train", "test"), PIXELS, LABELS, strict=True):
        np.testing.assert_array_equal(dataset.splits[split].inputs.reshape(x.shape), x)
        np.testing.assert_array_equal(dataset.splits[split].targets, y)
    assert dataset.inputs.dtype == "uint8"
    assert dataset.inputs.scale == 1 / 255
    assert wanted in said(dataset)
    assert bool(wanted) == bool(said(dataset))


def test_colours_first_are_moved_and_what_may_be_either_is_asked(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (20, 3, 6, 5)).astype(np.uint8)
    y = np.arange(20) % 2
    found = archive(tmp_path / "a.npz", {"x": x, "y": y})
    assert found.inputs.shape == (6, 5, 3)
    assert archive(tmp_path / "a.npz", {"x": x, "y": y}, layout="nhwc").inputs.shape == (3, 6, 5)
    either = {"x": x[:, :, :, :3], "y": y}
    with pytest.raises(DataError, match=r"\(3, 6, 3\) may be channels first or last.*layout=nchw"):
        archive(tmp_path / "a.npz", either)
    assert archive(tmp_path / "a.npz", either, layout="nchw").inputs.shape == (6, 3, 3)


def test_inputs_are_brought_to_a_scale_that_trains(tmp_path: Path) -> None:
    y = np.arange(40) % 2
    wide = np.random.default_rng(0).normal(500, 100, (40, 3))
    found = archive(tmp_path / "a.npz", {"x": wide, "y": y})
    assert abs(found.splits["train"].inputs.mean()) < 1e-12
    assert "inputs standardized (data.normalize)" in said(found)
    small = np.random.default_rng(0).uniform(-1, 1, (40, 3))
    assert said(archive(tmp_path / "a.npz", {"x": small, "y": y})) == ""
    grey = np.random.default_rng(0).uniform(0, 250, (40, 4, 4))
    found = archive(tmp_path / "a.npz", {"x": grey, "y": y})
    assert 0 <= found.splits["train"].inputs.min() < found.splits["train"].inputs.max() <= 1
    assert "inputs divided by 255" in said(found)


def test_a_validation_part_is_used(tmp_path: Path) -> None:
    arrays = named("train_images train_labels test_images test_labels")
    arrays |= {"val_images": PIXELS[1][:50], "val_labels": LABELS[1][:50, None]}
    found = archive(tmp_path / "a.npz", arrays)
    assert {name: len(split) for name, split in found.splits.items()} == {
        "train": len(PIXELS[0]), "test": len(PIXELS[1]), "val": 50,
    }  # fmt: skip
    assert len(archive(tmp_path / "a.npz", arrays, val_fraction=0.5).splits["val"]) != 50


def test_whole_numbers_can_be_predicted(tmp_path: Path) -> None:
    found = archive(tmp_path / "a.npz", {"data": X, "target": Y * 7}, "regression")
    assert found.targets == data.ArraySpec((1,), "float64")
    assert "x from data, y from target" in said(found)


# Trained on ------------------------------------------------------------------------------------


def worded(name: str, separator: str, hole: str = "") -> tuple[str, dict[str, Any]]:
    """Return one of scikit-learn's tables as a file: words for labels, maybe missing values."""
    values = bundled.load(name)
    columns = {f"c{i}": [repr(float(v)) for v in values[:, i]] for i in range(values.shape[1] - 1)}
    if hole:
        columns["c1"] = [hole if i % 20 == 3 else v for i, v in enumerate(columns["c1"])]
    labels = [f"kind {int(y)}" for y in values[:, -1]]
    return text(columns | {"outcome": labels}, separator), {"missing": "mean"} if hole else {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "separator", "hole"),
    [
        *(("iris", mark, hole) for mark, hole in ((",", ""), (";", "?"), ("\t", "NA"))),
        *(("wine", mark, hole) for mark, hole in ((",", ""), ("|", "?"))),
        *(("breast_cancer", mark, hole) for mark, hole in ((",", ""), (";", ""), ("\t", "nan"))),
    ],
)
def test_nets_learn_from_it_as_scikit_learn_s_do(
    name: str, separator: str, hole: str, tmp_path: Path
) -> None:
    from sklearn.neural_network import MLPClassifier

    content, settings = worded(name, separator, hole)
    path = tmp_path / "t.csv"
    path.write_text(content)
    ours, theirs = [], []
    for seed in range(5):
        run = nnbench.run(
            [
                *(
                    "backend=numpy",
                    "data=csv",
                    f"data.path={path}",
                    "arch=mlp",
                    "arch.hidden=[100]",
                ),
                *(f"data.{key}={value}" for key, value in settings.items()),
                *("batch_size=16", "epochs=60", "loss=cross_entropy", "optimizer=adam", "init=he"),
                *("schedule=constant", "schedule.lr=0.002", f"seed={seed}", "tracking=local"),
                f"results={tmp_path}",
            ]
        )
        assert run.kept is not None
        ours.append(run.kept.test_accuracy)
        config = Csv(path=str(path), **settings)
        splits = data.load(config, kind="classification", seed=seed).splits
        net = MLPClassifier(max_iter=1000, random_state=seed)
        net.fit(splits["train"].inputs, splits["train"].targets)
        theirs.append(net.score(splits["test"].inputs, splits["test"].targets))
    assert abs(np.mean(ours) - np.mean(theirs)) <= 0.03, (ours, theirs)
