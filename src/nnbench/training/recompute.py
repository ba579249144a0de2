"""Recomputes the figures of finished runs from their own weights; a process of its own.

Reads a job as JSON from standard input, the folders of the runs, and writes its answer as one
JSON line: for each run what its figures came to. The logits are kept beside its record.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from nnbench import data
from nnbench.backends.evaluation import Evaluator
from nnbench.config.run import RunConfig, read_config
from nnbench.data.dataset import Dataset
from nnbench.errors import NNBenchError, ResultsError
from nnbench.model.formulas import documented_net
from nnbench.records import recomputed, weights
from nnbench.records.figures import SPLITS, Figures, judge
from nnbench.records.run import RunResult
from nnbench.schema import progress
from nnbench.training.assembly import all_splits, make_task


class Figuring:
    """Checks one run after the other; the data of the last one stays at hand."""

    def __init__(self) -> None:
        self._data: tuple[Any, Dataset | NNBenchError] | None = None

    def check(self, directory: Path) -> Figures:
        """Return what the figures of the run in `directory` come to; keep the logits."""
        run = RunResult.read(directory)
        config = read_config(run.config)
        dataset = self._load(config)
        if isinstance(dataset, NNBenchError):
            return Figures(unchecked="data missing")
        told = {k: v for k, v in (run.data.get("digests") or {}).items() if k != "payload"}
        if told != dataset.digests():
            return Figures(unchecked="data changed" if told else "data not recorded")
        if run.kept is None:
            return Figures(unchecked="no epoch kept")
        try:
            params = weights.load_weights(directory)
        except NNBenchError:
            return Figures(unchecked="weights missing")
        task = make_task(config, dataset)
        net = documented_net(task.architecture.with_values(run.effective))
        task = dataclasses.replace(task, architecture=net)
        if {k: v.shape for k, v in params.items()} != task.architecture.weight_shapes():
            return Figures(wrong=("its weights do not fit its net",))
        splits = all_splits(dataset, config.eval.train_samples)
        evaluator = Evaluator(task, splits)
        found = {name: evaluator.evaluate(params, name) for name in SPLITS if name in splits}
        recomputed.save(directory, {name: each.logits for name, each in found.items()})
        return judge(run.kept, found, _predicted(directory))

    def _load(self, config: RunConfig) -> Dataset | NNBenchError:
        """Return the data of a run, or why it cannot be had."""
        key = (config.data, config.task, config.seed)
        if self._data is None or self._data[0] != key:
            found: Dataset | NNBenchError
            try:
                found = data.load(config.data, kind=config.task, seed=config.seed)
            except NNBenchError as error:
                found = error
            self._data = (key, found)
        return self._data[1]


def _predicted(directory: Path) -> dict[str, Any]:
    """Return the logits that the backend gave of the test split, where they can be read."""
    try:
        found = weights.load_predictions(directory)
    except ResultsError:
        return {}
    return {"test": found["logits"]} if found else {}


def main() -> int:
    """Answer the job on standard input."""
    figuring = Figuring()
    answers = {}
    folders = json.loads(sys.stdin.readline())["runs"]
    for done, directory in enumerate(folders):
        said = progress.line(done, len(folders), f"figures of run {done + 1} of {len(folders)}")
        print(said, flush=True)  # noqa: T201 - to the process that asked
        try:
            answers[directory] = figuring.check(Path(directory)).as_data()
        except NNBenchError as error:
            answers[directory] = Figures(unchecked=str(error).rstrip(".")).as_data()
        except MemoryError:
            answers[directory] = Figures(unchecked="out of memory").as_data()
    print(json.dumps(answers))  # noqa: T201 - the answer
    return 0


if __name__ == "__main__":
    sys.exit(main())
