"""What a difference in a recorded fact means for a comparison: the one list, as data.

Everything that run.json holds is compared. A fact that no rule names is told beside the verdict.
docs/results/fairness.md is written from this list by tests/reporting/test_fairness.py, which edits
every leaf of a real record in turn.
"""

from __future__ import annotations

import functools
from typing import Literal

from nnbench.schema.deferred import dataclass

What = Literal["harmless", "told", "apart"]
# Between whom: any two runs; runs of one seed; the runs that a verdict pairs; runs of one backend,
# since another brings its own; any two runs that both have the fact.
Among = Literal["all", "seed", "pair", "backend", "both"]


@dataclass(frozen=True)
class Rule:
    """How a fact is treated, by its dotted key in run.json or what that begins with.

    `harmless`: `why` says why; `told`: beside the verdict, with the effect `why`; `apart`: runs
    that differ are in tables of their own, and never ranked against each other. What follows from
    settings (`follows`: what their keys begin with) is not told again where these differ.
    """

    key: str
    what: What
    why: str
    among: Among = "all"
    follows: tuple[str, ...] = ()


UNKNOWN = "its effect is not known"
NET = ("arch", "augment", "data", "loss", "task")
RULES = (
    Rule("run_id", "harmless", "tells runs apart"),
    Rule("name", "harmless", "tells runs apart"),
    Rule("created", "harmless", "the date; of runs of one seed the latest counts"),
    Rule("fingerprint", "harmless", "a hash of what is compared here by itself"),
    Rule("schema_version", "harmless", "how the record is written; what older ones lack is told"),
    Rule("status", "harmless", "what is unfinished is left out by name, what diverged is counted"),
    Rule("message", "harmless", "why a run ended; its epochs are counted"),
    Rule("epochs", "harmless", "the figures that are compared"),
    Rule("kept_epoch", "harmless", "the epoch that the figures are of"),
    Rule("phases", "harmless", "times that are compared"),
    Rule("peak_memory_bytes", "harmless", "a figure that is compared"),
    Rule("parity", "harmless", "the certificate, with a section of its own"),
    Rule("tracking", "harmless", "where the run is mirrored"),
    Rule("config.seed", "harmless", "pairs runs"),
    Rule("config.case", "told", "a case of a study is a group of its own, by its name"),
    Rule("config.name", "harmless", "a name"),
    Rule("config.config_name", "harmless", "a name"),
    Rule("config.results", "harmless", "where the record is"),
    Rule("config.parity", "harmless", "asks for a certificate; whether there is one is said"),
    Rule("config.on_error", "harmless", "what a sweep does after another run's failure"),
    Rule("config.tracking.uri", "harmless", "where the run is mirrored"),
    Rule("config.tracking.experiment", "harmless", "where the run is mirrored"),
    Rule("config.tracking", "told", "another process was at work beside the run"),
    Rule("config.checkpoint", "told", "checkpoints are written between parts of an epoch"),
    Rule("config.launcher", "told", "runs were started in another way"),
    Rule("config.order", "told", "runs took turns in another order"),
    Rule("config.search", "told", "runs of a search were chosen by their figures"),
    Rule("config.backend", "told", "another backend: named in the label of its group", "backend"),
    Rule("config.arch", "told", "another net", follows=NET),
    Rule("epochs.learning_rate", "told", "other steps were taken than the schedule says",
         "both", ("schedule", "epochs", "batch_size", "data")),
    Rule("semantics", "apart", "matched and native runs answer different questions"),
    Rule("data.name", "apart", "other data"),
    Rule("data.digests.payload", "apart", "other data; data drawn for each seed is told by seed",
         "seed"),
    Rule("data.digests.initial_weights", "told", "training started from other weights", "seed",
         ("init",)),
    Rule("data.digests", "told", "nets were trained or tested on other samples", "seed",
         ("data", "task")),
    Rule("data.target_scale", "told", "losses are in deviations of other training samples", "seed",
         ("data", "task")),
    Rule("data", "told", "nets were trained or tested on other samples", follows=("data", "task")),
    Rule("architecture", "told", "another net", follows=NET),
    Rule("layers", "told", "another net", follows=NET),
    Rule("parameters", "told", "another net", follows=NET),
    Rule("without_effect", "told", "other parameters count as equal", follows=NET),
    Rule("effective", "told", "other constants or formulas: other steps are taken", "both"),
    Rule("choices", "told", "the backend chose otherwise", "backend", ("",)),
    Rule("flags", "apart", "the flag says why the figures are not comparable"),
    Rule("resumed", "told", "a process that takes a run up has a first epoch of its own"),
    Rule("sweep", "told", "runs of different sweeps did not take turns", "pair"),
    Rule("machine.cpu", "apart", "another machine"),
    Rule("machine.gpu", "apart", "another machine"),
    Rule("machine.cores", "apart", "another number of cores"),
    Rule("machine.blas_kernel", "apart", "NumPy computes with another kernel"),
    Rule("machine.threads.in_use", "apart", "another number of threads"),
    Rule("config.threads", "apart", "another number of threads"),
    Rule("machine.threads.environment", "told", "libraries were asked for other threads"),
    Rule("machine.threads", "told", "a library uses another number of threads", "backend"),
    Rule("machine.blas", "told", "another BLAS library", "backend"),
    Rule("machine.accelerator", "told", "another device, or software for it", "backend"),
    Rule("machine.gpu_driver", "told", "another driver"),
    Rule("machine.hostname", "told", "machines of one kind still differ in speed"),
    Rule("machine.memory_bytes", "told", "another machine"),
    Rule("machine.platform", "told", "another system schedules otherwise"),
    Rule("machine.python", "told", "another interpreter has other costs per call"),
    Rule("machine.versions", "told", "another version may compute otherwise", "both"),
    Rule("machine.commit", "told", "another checkout; whether other code trains, the digests say"),
    Rule("machine.source_digest", "told", "other code of nnbench's trains"),
    Rule("machine.backend_source", "told", "other code of the backend's trains", "backend"),
    Rule("machine.environment", "told", "frameworks read it"),
)  # fmt: skip
DEFAULT = Rule("", "told", UNKNOWN)

# What every record has had since version 6: older ones are ranked with the words "not recorded".
EXPECTED = (
    "machine.cpu", "machine.cores.usable", "machine.blas_kernel", "machine.hostname",
    "machine.memory_bytes", "machine.platform", "machine.python", "machine.source_digest",
    "machine.backend_source.digest", "machine.threads.in_use",
)  # fmt: skip


@functools.lru_cache(4096)
def rule(key: str) -> Rule:
    """Return the rule for a dotted key: the one with the longest beginning of it."""
    known = [each for each in RULES if key == each.key or key.startswith(f"{each.key}.")]
    return max(known, key=lambda each: len(each.key), default=DEFAULT)
