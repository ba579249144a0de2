"""The loop over epochs: train in slices, evaluate, record, keep checkpoints, stop when asked."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from nnbench.backends.protocol import Task, Trainer, Walk
from nnbench.config.run import RunConfig
from nnbench.data.dataset import Dataset
from nnbench.model import metrics
from nnbench.model.init import Params
from nnbench.model.selection import Watch
from nnbench.records import contention, machine, trajectory, weights
from nnbench.records.run import WEIGHTS_NAME, EpochRecord, RunResult
from nnbench.training import checkpoint, effort
from nnbench.training.assembly import make_walk
from nnbench.training.checkpoint import Checkpoint, Position
from nnbench.training.clock import Clock
from nnbench.training.undone import Undone

SLICE_SECONDS = 0.5  # how often a long epoch reports progress
FIRST_SLICE_STEPS = 1000
RECORD_SHARE = 0.05  # of the time of a run that its record may take
Announce = Callable[[dict[str, Any]], None]


class _Stopped(Exception):  # noqa: N818 - it names what happened
    """The run was asked to stop, and has a checkpoint."""


class Epochs:
    """The loop, with what it keeps between epochs; `stopping` tells whether to stop.

    A resumed run takes its epochs from the checkpoint on again, to the same weights; those that
    are on record already keep the record that they have.
    """

    def __init__(
        self,
        config: RunConfig,
        task: Task,
        dataset: Dataset,
        trainer: Trainer,
        clock: Clock,
        announce: Announce,
        stopping: Callable[[], bool],
    ) -> None:
        self.config, self.task, self.dataset = config, task, dataset
        self.trainer, self.clock, self.announce = trainer, clock, announce
        self.stopping = stopping
        self.samples = len(dataset.splits["train"])
        self.steps = task.steps(self.samples)
        self.slice_steps = FIRST_SLICE_STEPS
        self.watch = Watch(config.monitor, config.early_stopping)
        self.best: tuple[int, Params] | None = None
        self.visited: list[Params] = []
        self.first: dict[int, Params] = {}
        self.pace = checkpoint.Pace(config.checkpoint)
        self.at = Position()
        self.diverged = False
        self.undone = Undone(task.device == "cpu", task.threads)
        self.unsaid: list[EpochRecord] = []
        self.write_from = 0.0
        self.directory = Path()
        self.record: RunResult

    def resume(self, run: RunResult, start: Checkpoint) -> None:
        """Take up `run` where `start` left it."""
        self.trainer.restore(start.state)
        self.best, self.visited = start.best, list(start.visited)
        self.at = start.position
        for record in run.epochs[: start.epoch]:
            self.watch.see(getattr(record, self.config.monitor))

    def run(self, run: RunResult) -> RunResult:
        """Run every epoch, or until the loss is no longer finite or somebody asks to stop."""
        assert run.directory is not None
        self.directory, self.record = run.directory, run
        with self.clock.phase("track"):
            run.write()
        self.announce({"event": "start"})
        with self.clock.phase("warm_up"):
            evaluate = self.trainer.evaluate
            evaluations = {s: functools.partial(evaluate, s) for s in self._evaluated()}
            self.undone.learn({"params": self.trainer.params, **evaluations})
        try:
            self._keep_position(None)
            while self._one():
                pass
        except _Stopped:
            with self.clock.phase("track"):
                return self._stopped()
        return self._finish()

    def _one(self) -> bool:
        """Run one epoch and record it; tell whether another one follows."""
        run, epoch = self.record, self.at.epoch
        fresh, params = self._epoch()
        known = epoch < len(run.epochs)
        record = run.epochs[epoch] if known else fresh
        # A loss that is no number comes back from JSON as None.
        losses = [getattr(record, f"{name}_loss") for name in ("running", *self.dataset.splits)]
        self.diverged = not all(loss is not None and math.isfinite(loss) for loss in losses)
        self.watch.see(getattr(record, self.config.monitor))
        if self.config.keeps_best and self.watch.best_epoch == epoch:
            self.best = (epoch, params)
        stop = None if self.diverged else self.watch.reason_to_stop()
        with self.clock.phase("track"):
            self.visited.append(trajectory.sample(params))
            self.unsaid.append(record)
            self.record = dataclasses.replace(
                run,
                epochs=run.epochs if known else (*run.epochs, record),
                kept_epoch=self.best[0] if self.best else epoch,
                message=stop,
                phases=self.clock.phases(),
            )
            self.at = Position(epoch + 1)
            over = self.diverged or stop is not None or self.at.epoch == self.config.epochs
            if over or perf_counter() >= self.write_from:
                self._write()
            if not over:
                self._keep_position(self.at.epoch)
        return not over

    def _write(self) -> None:
        """Write the record, then tell of the epochs in it that nobody has been told of.

        It grows with the epochs: the next time comes when this one has cost a share of the run
        no larger than RECORD_SHARE.
        """
        start = perf_counter()
        self.record.write()
        end = perf_counter()
        self.write_from = end + (end - start) / RECORD_SHARE
        for record in self.unsaid:
            self.announce({"event": "epoch", "record": dataclasses.asdict(record)})
        self.unsaid = []

    def _stopped(self) -> RunResult:
        where = f"epoch {self.at.epoch + 1} of {self.config.epochs}"
        where += f", step {self.at.step} of {self.steps}" if self.at.step else ""
        run = dataclasses.replace(
            self.record,
            status="killed",
            message=f"stopped before {where}",
            phases=self.clock.phases(),
        )
        run.write()
        return run

    def _finish(self) -> RunResult:
        """Save weights and predictions of the kept epoch, and the final record."""
        run = self.record
        if self.best and self.best[0] != run.epochs[-1].epoch:
            self.trainer.load(self.best[1])
        with self.clock.phase("evaluate"):
            logits = self.trainer.evaluate("test")
            params = self.trainer.params()
        with self.clock.phase("track"):
            path = self.directory
            visited = trajectory.Trajectory(self.visited, self.first)
            trajectory.save(path / trajectory.TRAJECTORY_NAME, visited)
            weights.save_weights(path / WEIGHTS_NAME, params, run.architecture)
            weights.save_predictions(
                path / weights.PREDICTIONS_NAME,
                logits,
                self.dataset.splits["test"].targets,
                self.task.architecture.output_activation,
            )
        run = dataclasses.replace(
            run,
            status="diverged" if self.diverged else "finished",
            flags=(*run.flags, *contention.flags(run.epochs)),
            phases=self.clock.phases(),
            peak_memory_bytes=machine.peak_memory_bytes(),
        )
        run.write()
        checkpoint.remove(self.directory)
        return run

    def _evaluated(self) -> list[str]:
        """Return the splits whose figures an epoch has."""
        return ["train_eval", "test", *(["val"] if "val" in self.dataset.splits else [])]

    def _epoch(self) -> tuple[EpochRecord, Params]:
        """Train and evaluate one epoch; return its record and the weights after it."""
        epoch = self.at.epoch
        lr = self.config.schedule.per_step(epoch, self.steps, self.config.epochs, self.watch.scores)
        self._train(make_walk(self.config, self.task, self.samples, epoch, lr))
        before, start = self.clock.seconds("evaluate"), effort.read()
        with self.clock.phase("evaluate"):
            params = self.undone.call("params", self.trainer.params)
            found = {split: self._evaluate(split) for split in self._evaluated()}
            train_loss, train_accuracy, train_ties = found["train_eval"]
            test_loss, test_accuracy, test_ties = found["test"]
            val_loss, val_accuracy, val_ties = found.get("val", (None,) * 3)
            self._charge(self.undone.end(), "evaluate")
        both = None not in (train_accuracy, test_accuracy)
        gap = train_accuracy - test_accuracy if both else test_loss - train_loss  # type: ignore[operator]
        record = EpochRecord(
            epoch=epoch,
            learning_rate=float(lr[0]),
            running_loss=self.at.stats.loss_sum / self.at.stats.samples,
            running_accuracy=self.at.stats.accuracy,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            test_loss=test_loss,
            test_accuracy=test_accuracy,
            generalization_gap=gap,
            train_seconds=self.at.seconds,
            evaluate_seconds=self.clock.seconds("evaluate") - before,
            evaluate_cpu_seconds=effort.since(start).cpu_seconds,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            **vars(self.at.effort),
            load=effort.load(),
            late_seconds=self.at.late,
            train_ties=train_ties,
            test_ties=test_ties,
            val_ties=val_ties,
        )
        return record, params

    def _charge(self, late: float, phase: str) -> None:
        """Count what was left undone, and waited for in `phase`, as training."""
        self.clock.add("train", late)
        self.clock.add(phase, -late)
        at = self.at
        self.at = dataclasses.replace(at, seconds=at.seconds + late, late=at.late + late)

    def _train(self, walk: Walk) -> None:
        """Train what is left of the epoch, a long one in slices; keep its figures in `at`."""
        at = self.at
        while at.step < self.steps:
            whole = walk.order is None or self.steps <= self.slice_steps
            stop = self.steps if whole else min(at.step + self.slice_steps, self.steps)
            entire = at.step == 0 and stop == self.steps
            part = walk if entire else walk.part(at.step, stop, self.task.step_samples)
            before = effort.read()
            start = perf_counter()
            stats = self.trainer.train(part)
            elapsed = perf_counter() - start
            now = effort.read()
            self.undone.begin(elapsed, now)
            self._set_slice(stop - at.step, elapsed)
            self.clock.add("train", elapsed)
            done = at.effort + effort.between(before, now)
            stats, seconds = at.stats + stats, at.seconds + elapsed
            self.at = at = Position(at.epoch, stop, stats, seconds, done, at.late)
            if at.step < self.steps:
                self.announce(
                    {"event": "progress", "epoch": at.epoch, "step": at.step, "steps": self.steps}
                )
                with self.clock.phase("track"):
                    self._keep_position(None)
                at = self.at

    def _keep_position(self, whole_epochs: int | None) -> None:
        """Write a checkpoint where one is due; raise _Stopped, with one, when asked to stop."""
        asked = self.stopping()
        if not asked and not self.pace.due(whole_epochs):
            return
        self._write()  # what comes before a checkpoint is not trained again
        if self.at.step:
            self.undone.call("params", self.trainer.params)
            self._charge(self.undone.end(), "track")
        at = self.at
        Checkpoint(
            **vars(at), state=self.trainer.state(), visited=self.visited, best=self.best
        ).save(self.directory, self.config.checkpoint.keep)
        self.pace.saved()
        if asked:
            raise _Stopped

    def _set_slice(self, steps: int, seconds: float) -> None:
        """Choose the next slice by the clock; the slice law makes the result indifferent to it."""
        multiple = self.trainer.slice_multiple
        wished = int(steps * SLICE_SECONDS / max(seconds, 1e-9))
        wished = max(wished, FIRST_SLICE_STEPS)
        self.slice_steps = -(-wished // multiple) * multiple

    def _evaluate(self, split: str) -> tuple[float, float | None, int | None]:
        """Return loss, accuracy and near ties of a split, the latter None in regression."""
        logits = self.undone.call(split, functools.partial(self.trainer.evaluate, split))
        source = "train" if split == "train_eval" else split
        targets = self.dataset.splits[source].targets[: len(logits)]
        activation = self.task.architecture.output_activation
        loss = metrics.mean_loss(logits, targets, self.config.loss, activation)
        if self.config.task == "regression":
            return loss, None, None
        return loss, metrics.accuracy(logits, targets), metrics.near_ties(logits)
