"""Pages in a browser: nothing is cut at any width, plots answer, and odd reports read well."""

from __future__ import annotations

import dataclasses
import html as escaping
import json
import re
from pathlib import Path

import pytest

from nnbench.records.run import RunResult
from nnbench.reporting.comparison.content import ONE_GROUP, build
from nnbench.reporting.explain.explanation import Effect, Gap
from nnbench.reporting.explain.page import page as explain_page
from nnbench.reporting.explain.page import write_waterfalls
from nnbench.reporting.pages.html import html
from nnbench.reporting.pages.plots import write_plots
from nnbench.schema.progress import nobody
from support.reports import in_chromium, some_runs

LONG = "a_framework_with_a_name_of_two_hundred_characters_" * 4
WIDTHS = (1280, 1200, 390)
SAY_WIDTH = """<script>addEventListener("load", () => {
  const wide = document.documentElement.clientWidth, cut = [];
  for (const part of document.querySelectorAll("body *:not(.scroll *):not(svg *):not(script)"))
    if (part.getBoundingClientRect().right > wide + 1) cut.push(part.tagName);
  const beyond = document.documentElement.scrollWidth - wide;
  parent.postMessage([location.search, beyond, cut.length], "*");
});</script>"""
FRAMES = """<!doctype html><title>-</title><body><script>
const said = []; addEventListener("message", event => {
  said.push(event.data); document.title = JSON.stringify(said);
});</script>"""


def page(runs: list[RunResult], folder: Path, title: str = "t") -> str:
    report = build(runs)
    return html(report, title, write_plots(report, folder / "plots"))


def odd_reports(folder: Path) -> dict[str, list[RunResult]]:
    """Return runs whose reports are the hardest to lay out."""
    diverged = [
        dataclasses.replace(run, status="diverged", kept_epoch=None, message="the loss was nan")
        for run in some_runs(folder / "d", "numpy", 3)
    ]
    names = [run for end in "ab" for run in some_runs(folder / end, LONG[:199] + end, 3, 2.0)]
    forty = [
        run for n in range(40) for run in some_runs(folder / f"f{n}", f"b{n}", 1, 1.0 + n / 10)
    ]
    two = [*some_runs(folder / "n", "numpy", 3), *some_runs(folder / "t", "torch", 3, 2.0)]
    return {
        "one": some_runs(folder / "o", "numpy", 1),
        "forty": forty,
        "diverged": diverged,
        "names": [*two, *names],
        "no_epochs": [dataclasses.replace(run, epochs=(), kept_epoch=None) for run in two],
        "two": two,
    }


@pytest.mark.slow
def test_nothing_is_cut_at_any_width(tmp_path: Path) -> None:
    frames = FRAMES
    for name, runs in odd_reports(tmp_path).items():
        text = page(runs, tmp_path / name, f"{name} {LONG}" if name == "names" else name)
        (tmp_path / f"{name}.html").write_text(text.replace("</body>", SAY_WIDTH + "</body>"))
        for width in WIDTHS:
            address = f"{name}.html?{name}-{width}"
            frames += f'<iframe width="{width}" height="800" src="{address}"></iframe>'
    effects = tuple(Effect(f"{LONG}{n}", LONG, -0.1 * n, -0.1 * n, 0.05) for n in range(1, 4))
    gap = Gap("test accuracy", 0.9, 0.3, effects, half=0.02)
    plots = write_waterfalls([gap], tmp_path / "explained", nobody)
    explained = explain_page(LONG, [LONG], [gap], plots)
    (tmp_path / "explain.html").write_text(explained.replace("</body>", SAY_WIDTH + "</body>"))
    for width in WIDTHS:
        address = f"explain.html?explain-{width}"
        frames += f'<iframe width="{width}" height="800" src="{address}"></iframe>'
    broken = (tmp_path / "two.html").read_text().replace("<h1>", '<h1 style="width: 1500px">')
    (tmp_path / "broken.html").write_text(broken)
    frames += '<iframe width="390" height="800" src="broken.html?broken"></iframe>'
    (tmp_path / "all.html").write_text(frames)
    done = in_chromium(tmp_path / "all.html", "--virtual-time-budget=20000")
    (title,) = re.findall("<title>(.*?)</title>", done.stdout)
    said = {where: (beyond, cut) for where, beyond, cut in json.loads(escaping.unescape(title))}
    beyond, cut = said.pop("?broken")
    assert beyond > 0, "a page that is cut is seen"
    assert cut > 0
    assert len(said) == 7 * len(WIDTHS)
    assert {where: found for where, found in said.items() if found != (0, 0)} == {}


def test_odd_reports_say_what_they_are(tmp_path: Path) -> None:
    reports = {name: build(runs) for name, runs in odd_reports(tmp_path).items()}
    assert reports["one"].headlines == (ONE_GROUP,)
    assert reports["one"].question == "How did this run do?"
    assert reports["diverged"].headlines == ("3 runs diverged, none finished: nothing to compare.",)
    assert "None of 6 runs has figures that count" in reports["no_epochs"].headlines[0]
    assert write_plots(reports["no_epochs"], tmp_path / "none") == {}
    (first, *_) = reports["names"].headlines[1:]
    assert len(first) < 260, "names are cut in their middle"
    forty = html(reports["forty"], "t", write_plots(reports["forty"], tmp_path / "forty"))
    assert "33 more verdicts" in forty
    assert "The first 12 of 40 groups are drawn." in forty
    assert len(forty) < 800_000


POINTS = """<script>addEventListener("load", () => {
  const chart = document.querySelector("#plot-test_accuracy .chart"), found = [];
  const svg = chart.querySelector("svg"), tip = chart.querySelector(".tip");
  const [group, x, y] = JSON.parse(chart.dataset.marks)[0], frame = svg.getBoundingClientRect();
  const scale = frame.width / svg.viewBox.baseVal.width;
  const at = {clientX: frame.left + x * scale + 2, clientY: frame.top + y * scale, bubbles: true};
  svg.dispatchEvent(new PointerEvent("pointermove", at)); found.push(tip.hidden, tip.innerText);
  svg.dispatchEvent(new PointerEvent("pointermove", {clientX: 0, clientY: 0}));
  found.push(tip.hidden);
  const key = name => chart.dispatchEvent(new KeyboardEvent("keydown", {key: name}));
  key("ArrowRight"); key("ArrowRight"); found.push(chart.tabIndex, tip.innerText);
  key("Escape"); found.push(tip.hidden);
  const button = document.querySelector('[data-toggle="0"]');
  const shown = part => getComputedStyle(part).display !== "none";
  const seen = () => [...chart.querySelectorAll('[data-group="0"]')].filter(shown).length;
  const before = seen(); button.click();
  found.push(before > 2, seen(), button.getAttribute("aria-pressed"));
  svg.dispatchEvent(new PointerEvent("pointerdown", at)); found.push(tip.innerText);
  button.click(); found.push(seen() === before);
  const box = document.querySelector(".scroll"), cell = box.querySelector("td");
  const left = cell.getBoundingClientRect().left; box.style.width = "400px"; box.scrollLeft = 200;
  found.push(box.scrollLeft > 100, cell.getBoundingClientRect().left === left);
  document.title = JSON.stringify(found);
});</script>"""


def test_plots_answer_to_pointer_keys_and_legend(tmp_path: Path) -> None:
    runs = [*some_runs(tmp_path, "numpy", 3), *some_runs(tmp_path, "torch", 3, 2.0)]
    text = page(runs, tmp_path)
    (tmp_path / "p.html").write_text(text.replace("</body>", POINTS + "</body>"))
    done = in_chromium(tmp_path / "p.html", "--virtual-time-budget=5000")
    (title,) = re.findall("<title>(.*?)</title>", done.stdout)
    both = [f"{b}, epoch 1: 80.10% (80.00% to 80.20%)" for b in ("numpy", "torch")]
    assert json.loads(escaping.unescape(title)) == [
        False, "\n".join(both), True,
        0, "numpy, epoch 2: 81.10% (81.00% to 81.20%)\ntorch, epoch 2: 81.10% (81.00% to 81.20%)",
        True, True, 0, "false", both[1], True,
        True, True,
    ]  # fmt: skip
    assert "CONSOLE" not in done.stderr
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert sum(map(len, scripts)) < 20_000
    assert text.count("<svg role=") == text.count('<div class="chart"')
    assert "<noscript" not in text, "without a script everything is there"
    assert "prefers-color-scheme: dark" in text


@pytest.mark.parametrize("ratio", [False, True])
def test_a_waterfall_adds_up_and_shows_noise(tmp_path: Path, ratio: bool) -> None:
    effects = (
        Effect("loss", "bce to mse", -0.5, -0.5, 0.1),
        Effect("noise", "a to b", 0.1, 0.1, 0.4),
        *(Effect(f"tiny{n}", "0 to 1", 0.001, 0.001, 0.0005) for n in range(4)),
    )
    total = sum(e.middle for e in effects)
    last = 0.8 * 2.718281828459045**total if ratio else 0.8 + total
    gap = Gap("time per epoch" if ratio else "test accuracy", 0.8, last, effects, ratio, 0.2)
    (plot,) = write_waterfalls([gap], tmp_path, nobody).values()
    assert {path.suffix for path in tmp_path.iterdir()} == {".svg", ".pdf", ".png"}
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", plot.svg)
    assert "4 other changes" in texts
    assert any("(within noise)" in text for text in texts)
    assert "95 % intervals" in plot.caption
    marks = json.loads(plot.marks)
    ends = [mark[1] for mark in marks if mark[3].startswith(("4 other", "end"))]
    assert ends[0] == pytest.approx(ends[1], abs=0.2), "the last change ends where the run does"
    text = explain_page("From <A> to B", ["<caution>"], [gap], {gap.figure: plot}, ["agrees"])
    assert "From &lt;A&gt; to B" in text
    assert "&lt;caution&gt;" in text
    assert plot.svg in text
