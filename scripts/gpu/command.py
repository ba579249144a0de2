"""Prove nnbench on a GPU: every block, timings, executions, engines, bits, memory, commands.

    scripts/gpu_check --out DIR                 on CUDA, within nine minutes
    scripts/gpu_check --device cpu --out DIR    all parts that need no CUDA
    scripts/gpu_check --parts kit commands      some of it

Needs a checkout and NumPy; a part whose packages are missing is left out, which it says at the
start. DIR/gpu.md and DIR/gpu.json are rewritten after every part. Exit code 1 where something
failed, 2 where the device cannot be used at all.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from gpu import machine
from gpu.parts import PARTS, TOTAL_SECONDS, Part
from gpu.process import run_jobs
from gpu.report import Report, Section
from gpu.rows import Row, Setting


def main() -> int:
    """Run the parts; return the exit code."""
    started = time.monotonic()
    asked = _arguments()
    versions = machine.installed()
    say(_inventory(versions))
    packages = tuple(name for name, version in versions.items() if version)
    seen: dict[str, Any] = {}
    if asked.device == "cuda":
        if not {"torch", "cupy"} & {*packages}:
            print(
                "gpu_check: Received --device cuda; neither PyTorch nor CuPy is installed here. "
                "Install them (pip install '.[cuda12]' or '.[cuda13]'), or use --device cpu.",
                file=sys.stderr,
            )
            return 2
        seen = machine.gpus()
        if all(isinstance(said, str) for said in seen.values()):
            for said in dict.fromkeys(seen.values()):
                print(f"gpu_check: {said}", file=sys.stderr)
            return 2
        packages = tuple(p for p in packages if not isinstance(seen.get(p), str))
    setting = Setting(asked.device, asked.quick, packages)
    report = Report(asked.out, machine.facts(asked.device, seen))
    chosen = [part for part in PARTS if not asked.parts or part.name in asked.parts]
    for part in chosen:
        left = asked.seconds - (time.monotonic() - started)
        section = run_part(part, setting, min(left, part.seconds[asked.device]))
        report.sections.append(section)
        report.write()
    passed = time.monotonic() - started
    say(f"{report.failed} failed; {passed:.0f} s; {asked.out / 'gpu.md'}")
    return 1 if report.failed else 0


def run_part(part: Part, setting: Setting, seconds: float) -> Section:
    """Run one part within `seconds`."""
    section = Section(part)
    start = time.monotonic()
    jobs = part.module.jobs(setting)
    say(f"{part.title} ({len(jobs)} jobs, at most {seconds:.0f} s)")

    def on_row(row: Row) -> None:
        section.rows.append(row)
        figures = "  ".join(f"{name}={value:.4g}" for name, value in row.figures.items())
        say("  ".join(filter(None, [f"  {row.outcome:8}", row.subject, row.detail, figures])))

    if jobs:
        run_jobs(part, jobs, setting, seconds, on_row)
    else:
        on_row(Row(part.title, "skipped", "a package that it needs is missing"))
    section.seconds = time.monotonic() - start
    return section


def _inventory(versions: dict[str, str | None]) -> str:
    """Say what there is and what is lacking, and for what."""
    there = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    lacking = [f"{name} ({machine.PACKAGES[name]})" for name, v in versions.items() if not v]
    return f"has {there or 'none of the frameworks'}; lacks {', '.join(lacking) or 'nothing'}"


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="gpu_check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for the report")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    names = [part.name for part in PARTS]
    parser.add_argument("--parts", nargs="+", choices=names, metavar="PART", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="a little of every part")
    parser.add_argument(
        "--seconds", type=float, default=TOTAL_SECONDS, help="for all of it (default %(default)g)"
    )
    return parser.parse_args()
