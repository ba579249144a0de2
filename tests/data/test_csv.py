"""CSV tables: what is read, and for every bad row its line."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from nnbench import data
from nnbench.data.config import Csv
from nnbench.errors import DataError

GOOD = "a,label,b\n" + "".join(f"{i}.5,{i % 2},{-i}\n" for i in range(20))


def write(tmp_path: Path, text: str, name: str = "table.csv") -> str:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    return str(path)


def load(path: str, kind: str = "classification", **values: object) -> data.Dataset:
    return data.load(Csv(path=path, **{"normalize": "unit"} | values), kind=kind, seed=0)


def test_values_columns_and_labels_are_those_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    table = load(path)
    rows = {
        (*x, t)
        for split in table.splits.values()
        for x, t in zip(split.inputs.tolist(), split.targets.tolist(), strict=True)
    }
    assert rows == {(i + 0.5, -float(i), i % 2) for i in range(20)}
    assert (table.outputs, len(table.splits["train"]), len(table.splits["test"])) == (2, 16, 4)
    assert table.inputs == data.ArraySpec((2,), "float64", 1.0)
    assert table.payload_digest == hashlib.sha256(Path(path).read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("a,label,b", '"a"," label ","b"'),
        GOOD.replace("\n3.5,", '\n\n"3.5",'),
        GOOD + "\n \n",
    ],
    ids=["bom", "crlf", "quoted header", "blank line and quotes", "blank end"],
)
def test_the_same_table_however_it_was_saved(tmp_path: Path, text: str) -> None:
    plain, other = load(write(tmp_path, GOOD)), load(write(tmp_path, text, "other.csv"))
    assert other.digests() == plain.digests()


def test_images_stay_8_bit_and_tables_of_flags_do_not(tmp_path: Path) -> None:
    header = "label," + ",".join(f"pixel{i}" for i in range(20)) + "\n"
    rows = "".join(f"{i % 3}," + ",".join([str(5 * i)] * 20) + "\n" for i in range(52))
    images = load(write(tmp_path, header + rows))
    assert images.inputs == data.ArraySpec((20,), "uint8", 1.0 / 255.0)
    assert max(split.inputs.max() for split in images.splits.values()) == 255
    flags = "".join(f"{i % 3}," + ",".join([str(i % 2)] * 20) + "\n" for i in range(52))
    assert load(write(tmp_path, header + flags)).inputs.dtype == "float64"
    halves = rows.replace("5,5,", "5.5,5,", 1)
    assert load(write(tmp_path, header + halves)).inputs.dtype == "float64"


def test_a_table_to_test_on(tmp_path: Path) -> None:
    train, test = write(tmp_path, GOOD), write(tmp_path, "a,label,b\n7,1,8\n", "test.csv")
    table = load(train, test_path=test)
    np.testing.assert_array_equal(table.splits["test"].inputs, [[7.0, 8.0]])
    # A published split keeps the published order.
    assert table.splits["train"].targets.tolist() == [i % 2 for i in range(20)]
    assert table.payload_digest != load(train, test_path=train).payload_digest


@pytest.mark.parametrize(
    ("header", "expected"),
    [("a,label", "lacks b"), ("a,label,b,c", "has c more"), ("b,label,a", "in another order")],
)
def test_a_table_to_test_on_must_have_the_same_columns(
    tmp_path: Path, header: str, expected: str
) -> None:
    row = ",".join("1" for _ in header.split(","))
    test = write(tmp_path, f"{header}\n{row}\n", "test.csv")
    with pytest.raises(DataError, match=expected):
        load(write(tmp_path, GOOD), test_path=test)


def test_regression_takes_the_label_column_as_the_target(tmp_path: Path) -> None:
    path = write(tmp_path, "x,y\n" + "".join(f"{i},{i / 4}\n" for i in range(10)))
    table = load(path, "regression", label="y")
    assert table.targets == data.ArraySpec((1,), "float64")
    assert table.outputs == 1
    for split in table.splits.values():
        np.testing.assert_array_equal(split.targets, split.inputs / 4)


BAD_ROWS = {
    "wrong count": ("1,1", "received 2 fields, 1, 1; must be 3"),
    "too many": ("1,1,1,1", "received 4 fields"),
    "text": ("1,1,abc", "received 'abc' in column 'b'; must be a number"),
    "missing": (
        "1,1,",
        "received '' in column 'b', a missing value .1 rows of 20.*data.missing=drop",
    ),
    "nan": ("nan,1,1", "received 'nan' in column 'a', a missing value"),
    "infinite": ("1,1,-inf", "received '-inf' in column 'b'"),
    "underscore": ("1_0,1,1", "received '1_0' in column 'a'"),
    "comment": ("#1,1,1", "received '#1' in column 'a'"),
    "fraction": ("1,0.5,1", "column 'label': received 0.5 as a class label.*task=regression"),
}


@pytest.mark.parametrize("fault", BAD_ROWS)
@pytest.mark.parametrize("blank", ["", "\n"])
def test_a_bad_row_is_named_with_its_line(tmp_path: Path, fault: str, blank: str) -> None:
    row, expected = BAD_ROWS[fault]
    lines = GOOD.splitlines()
    lines[9] = blank + row  # the tenth line, or the eleventh after a blank one
    path = write(tmp_path, "\n".join(lines) + "\n")
    with pytest.raises(DataError, match=expected) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}:{10 + len(blank)}: ")
    assert "\n" not in str(caught.value)


def test_line_numbers_count_lines_inside_quotes(tmp_path: Path) -> None:
    path = write(tmp_path, '"a\nb",label\n1,0\n2,1\nx,1\n')
    with pytest.raises(DataError, match=r"table\.csv:5: received 'x' in column"):
        load(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a,label,b\n", "has a header and no rows"),
        ("a,b,c\n1,2,3\n", "which column is the label. none of its columns"),
        ("label;a\n", "has a header and no rows"),
        ("label;a\n1\n", "has one column; it must have a label and inputs"),
        ("label,label\n1,1\n", "column 'label' appears twice"),
        ("label\n1\n0\n", "has one column; it must have a label and inputs"),
        ("a,label\n1,0\n2,0\n", "only label 0"),
    ],
)
def test_a_malformed_table_is_explained(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(DataError, match=expected) as caught:
        load(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_long_column_lists_are_cut_short(tmp_path: Path) -> None:
    header = ",".join(f"pixel{i}" for i in range(784))
    with pytest.raises(DataError, match="pixel4 and 779 more") as caught:
        load(write(tmp_path, header + "\n" + ",".join(["0"] * 784) + "\n"))
    assert len(str(caught.value)) < 300


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Received data\.path=.*none\.csv; cannot read it \(No"):
        load(str(tmp_path / "none.csv"))
    (tmp_path / "flowers.csv").write_text(GOOD)
    with pytest.raises(DataError, match=r"flowrs\.csv; cannot.* did you mean .*/flowers\.csv\?$"):
        load(str(tmp_path / "flowrs.csv"))
    with pytest.raises(DataError, match=r"Received data\.test_path=.*\(it is a directory\)"):
        load(write(tmp_path, GOOD), test_path=str(tmp_path))
    (tmp_path / "zip.csv").write_bytes(b"PK\x03\x04\xff\xfe\x00")
    with pytest.raises(DataError, match="is damaged"):
        load(str(tmp_path / "zip.csv"))
