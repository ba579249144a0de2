"""The page of a traced step, worked through in a browser: by its keys, its buttons, its numbers."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.commands import PATIENCE, Nnbench

READER = Path(__file__).with_name("trace_page.js")
SMALL = (
    *("data=digits", "arch=mlp", "arch.hidden=[3]", "arch.activation=tanh", "loss=cross_entropy"),
    *("init=glorot", "batch_size=4", "dtype=float64", "schedule=constant", "schedule.lr=0.1"),
)
NETS = {
    "images": (
        "loss=bce",
        "arch.layers=[{name: conv2d, filters: 2, padding: same}, gelu, max_pool2d, "
        "{name: conv2d, filters: 2, kernel_size: 2, stride: 2}, {name: batch_norm}, flatten]",
    ),
    "everything else": (
        *("loss=mse", "optimizer=sgd", "optimizer.momentum=0.9"),
        "arch.layers=[{name: conv2d, filters: 2, kernel_size: 2}, avg_pool2d, silu, "
        "global_avg_pool2d, layer_norm, {name: dropout, rate: 0.3}, {name: dense, units: 4}, "
        "softmax]",
    ),
    "tokens": (
        *("loss=cross_entropy", "data=sequences"),
        "arch.layers=[{name: embedding, vocabulary: 32, units: 2}, flatten, "
        "{name: dense, units: 3}, leaky_relu]",
    ),
}


def worked_through(page: Path, width: int = 390) -> dict[str, Any]:
    """Open a page without a network, do what a reader does; return what was seen."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium")
    reader = f"<script>{READER.read_text()}</script></body>"
    text = html.escape(page.read_text().replace("</body>", reader))
    reading = page.with_name(f"read_{width}.html")  # in a frame: no window is as narrow as phones
    frame = f'<iframe style="width: {width}px; height: 800px; border: 0" srcdoc="{text}"></iframe>'
    reading.write_text(f'<!doctype html><meta charset="utf-8"><body>{frame}</body>')
    done = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr",
            "--window-size=1400,900", f"--user-data-dir={page.parent / 'profile'}",
            "--dump-dom", str(reading),
        ],
        capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr, done.stderr
    (found,) = re.findall(r'<pre id="found">(.*?)</pre>', done.stdout, flags=re.DOTALL)
    return dict(json.loads(html.unescape(found)))


def traced(nnbench: Nnbench, *words: str, step: int = 1) -> tuple[Path, Any]:
    """Return the page of a step, and the arrays of its npz."""
    done = nnbench(
        *("trace", "--step", str(step), "--html", "step.html", "--out", "step.npz", *words)
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return Path("step.html").resolve(), np.load("step.npz")


def shown(found: dict[str, Any], arrays: Any) -> dict[str, set[tuple[int, ...]]]:
    """Hold every number against the npz's; return which of each array were shown."""
    seen = defaultdict(set)
    for backend, what, index, value, text in found["numbers"]:
        place = tuple(int(i) for i in index.split(",")) if index else ()
        true = float(arrays[f"{backend}/{what}"][place])
        assert float(value) == true, (backend, what, index)
        assert abs(float(text.replace("\N{MINUS SIGN}", "-")) - true) <= 0.051 * abs(true), (
            what,
            text,
        )
        seen[f"{backend}/{what}"].add(place)
    return seen


def test_every_number_of_a_small_net_is_shown_and_made_of_what_the_page_says(
    nnbench: Nnbench, tmp_path: Path
) -> None:
    page, arrays = traced(nnbench, "backend=numpy,numpy_reference", *SMALL)
    assert page.stat().st_size < 100_000
    assert not re.search(r"(?:src|href)=|https?://|@import", page.read_text())
    found = worked_through(page)
    seen = shown(found, arrays)
    assert {name: len(seen[name]) for name in arrays} == {n: arrays[n].size for n in arrays}
    assert (found["wrong"], found["unchecked"], found["wide"]) == ([], [], [])
    assert found["checked"] > 1500
    assert found["width"] == 390
    assert found["stages"][:4] == ["input", "1 dense →", "2 tanh →", "3 dense →"]
    assert found["stages"][-3:] == ["← 1 dense", "Δ 1 dense", "Δ 3 dense"]
    assert (found["back"], found["again"]) == ("Δ 1 dense", "Δ 3 dense")
    assert len(found["terms"]) == 2 * (64 + 64 + 1)
    assert {what for what, _ in found["terms"]} == {"input", "0.kernel", "0.bias"}
    assert all(i.endswith(",1") for what, i in found["terms"] if what == "0.kernel")
    _is_a_quiz(found["quiz"], hidden=2 * 12)


def _is_a_quiz(quiz: dict[str, Any], hidden: int) -> None:
    assert (quiz["before"], quiz["still"], quiz["end"]) == (hidden, hidden, 0)
    assert (quiz["asked"], quiz["leaks"], quiz["leaksWhy"]) == (True, 0, False)
    assert quiz["nothing"].startswith("Type a number")
    assert (quiz["small"], quiz["large"]) == ("Not yet: too small.", "Not yet: too large.")
    assert quiz["right"].startswith("Right: ")
    assert quiz["after"] == hidden - hidden // 12
    assert "right" in quiz["won"][0].split()
    assert quiz["won"][1].endswith("right")
    assert quiz["shown"].endswith("shown")
    assert quiz["score"].endswith(" 1 of 12 guessed")


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_the_numbers_of_every_kind_of_layer_are_made_of_what_the_page_says(
    name: str, nnbench: Nnbench, tmp_path: Path
) -> None:
    words = (*SMALL[5:], "arch=layers", "data=digits", *NETS[name])
    page, arrays = traced(nnbench, "backend=numpy", *words, step=2)
    found = worked_through(page)
    seen = shown(found, arrays)
    assert {n: len(seen[n]) for n in arrays} == {n: arrays[n].size for n in arrays}
    assert (found["wrong"], found["wide"]) == ([], [])
    ends = {what.partition(".")[2] for what in found["unchecked"]}  # said in words there
    assert ends <= {"output.gradient", "scale.gradient", "offset.gradient"} | (
        {"kernel.update", "bias.update", "scale.update", "offset.update"}
        if name == "everything else"
        else set()
    )


@pytest.mark.slow
def test_of_a_large_net_a_part_is_shown_and_said_so(nnbench: Nnbench, tmp_path: Path) -> None:
    words = ("data=mnist_5k", "data.train_samples=400", "arch=784-128-10", "batch_size=32")
    page, arrays = traced(nnbench, "backend=numpy", *words)
    assert "too large for every number" in page.read_text()
    found = worked_through(page, width=1200)
    assert (found["wrong"], found["wide"], found["width"]) == ([], [], 1200)
    seen = shown(found, arrays)
    assert 0 < len(seen["numpy/0.kernel"]) < arrays["numpy/0.kernel"].size
    assert seen.keys() == set(arrays)


@pytest.mark.slow
def test_frameworks_stand_side_by_side(nnbench: Nnbench, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    page, arrays = traced(nnbench, "backend=numpy,torch", *SMALL)
    found = worked_through(page, width=1200)
    assert {backend for backend, *_ in found["numbers"]} == {"numpy", "torch"}
    shown(found, arrays)
    assert (found["wrong"], found["wide"]) == ([], [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "wrong", "seen"),
    [
        ("[`${i}.kernel`, [k, rest[0]]]", "[`${i}.kernel`, [k, 0]]", "wrong"),
        ("(p - t) * s)", "(p - t) * s * 2)", "wrong"),
        ('e.textContent = "?";', 'e.textContent = "?"; e.title = String(v);', "leaks"),
        ("minmax(0, 2.95rem)", "40rem", "wide"),
    ],
)
def test_a_page_that_is_wrong_is_caught(
    right: str, wrong: str, seen: str, nnbench: Nnbench, tmp_path: Path
) -> None:
    page, _ = traced(nnbench, "backend=numpy", *SMALL)
    assert right in page.read_text()
    page.write_text(page.read_text().replace(right, wrong))
    found = worked_through(page)
    assert found.get(seen) or found["quiz"].get(seen)


def test_weights_labels_and_loss_are_in_the_file_and_are_printed(
    nnbench: Nnbench, tmp_path: Path
) -> None:
    done = nnbench("trace", "--out", "step.npz", "backend=numpy_reference", *SMALL)
    assert done.returncode == 0, done.stderr
    step = {n.partition("/")[2]: a for n, a in np.load("step.npz").items()}
    x, t = step["input"], np.eye(10)[step["labels"]]
    hidden = np.tanh(x @ step["0.kernel"] + step["0.bias"])
    logits = hidden @ step["2.kernel"] + step["2.bias"]
    np.testing.assert_allclose(logits, step["2.output"], rtol=0, atol=1e-14)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(step["prediction"], p, rtol=0, atol=1e-15)
    np.testing.assert_allclose(step["losses"], -np.log((p * t).sum(axis=1)), rtol=0, atol=1e-14)
    np.testing.assert_allclose(step["loss"], step["losses"].mean(), rtol=0, atol=1e-15)
    np.testing.assert_allclose(step["2.output.gradient"], (p - t) / 4, rtol=0, atol=1e-15)
    for line in ("  kernel, 64x3", "  labels, 4", "  loss, one number", "  kernel update, 3x10"):
        assert line in done.stdout.splitlines()
    shown = done.stdout.split("labels, 4\n")[1].splitlines()[0]
    assert shown.split()[-4:] == [str(label) for label in step["labels"]]


def test_a_page_that_cannot_be_written_is_one_line(nnbench: Nnbench, tmp_path: Path) -> None:
    done = nnbench("trace", "--html", "/proc/no/page.html", "backend=numpy", *SMALL)
    assert done.returncode == 2
    assert done.stderr.startswith("nnbench: Cannot write --html /proc/no/page.html")
    assert len(done.stderr.splitlines()) == 1
