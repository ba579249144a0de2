"""What everybody who reads a run's figures has to know: facts in the record, sentences on sight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from nnbench.schema import read
from nnbench.schema.deferred import dataclass

if TYPE_CHECKING:
    from nnbench.config.run import RunConfig


@dataclass(frozen=True)
class Steered:
    """The test data had a part in the run: `watchers` are the settings that followed `monitor`."""

    watchers: tuple[str, ...]
    monitor: str
    name: Literal["steered"] = "steered"

    def __str__(self) -> str:
        return (
            f"the test data steered this run ({' and '.join(self.watchers)} with "
            f"monitor={self.monitor}): its test metrics are optimistically biased"
        )


@dataclass(frozen=True)
class Crowded:
    """More threads than cores to run them."""

    threads: int
    cores: int
    name: Literal["crowded"] = "crowded"

    def __str__(self) -> str:
        cores = "1 core" if self.cores == 1 else f"{self.cores} cores"
        return f"threads={self.threads} on {cores}: times include threads waiting for each other"


@dataclass(frozen=True)
class Beside:
    """The run was timed while others ran on the same machine, up to `runs` of them in all."""

    runs: int
    name: Literal["beside"] = "beside"

    def __str__(self) -> str:
        return f"timed beside other runs (launcher=parallel, {self.runs} at a time): not comparable"


@dataclass(frozen=True)
class Contended:
    """Other processes kept the run from its processor; its epochs tell how much."""

    name: Literal["contended"] = "contended"

    def __str__(self) -> str:
        return (
            "contended: other processes took its processor while it trained; its times are not "
            "compared with those of undisturbed runs"
        )


@dataclass(frozen=True)
class Early:
    """The Trainer said that it was done before it was; its epochs tell what was charged for it."""

    name: Literal["early"] = "early"

    def __str__(self) -> str:
        return (
            "train() returned before its work was done; what was left is counted in epoch times, "
            "as far as it was seen"
        )


@dataclass(frozen=True)
class SlowClock:
    """The run's own clock counted fewer `seconds` than the `elapsed` ones of its process."""

    seconds: float
    elapsed: float
    name: Literal["slow clock"] = "slow clock"

    def __str__(self) -> str:
        return (
            f"its clock counted {self.seconds:.1f} s while {self.elapsed:.1f} s passed outside: "
            "its times cannot be trusted"
        )


MISTAKES = {
    "softmax_twice": "cross-entropy took softmax outputs for logits",
    "logits_as_probabilities": "cross-entropy took logits for probabilities",
    "broadcast_targets": "targets broadcast against outputs, (n, 1) against (n,)",
}


@dataclass(frozen=True)
class Mistaken:
    """The run makes a classic mistake, asked for by `loss.mistake`."""

    mistake: str
    name: Literal["mistaken"] = "mistaken"

    def __str__(self) -> str:
        what = MISTAKES.get(self.mistake, "a mistake in the loss")
        return f"{what} (loss.mistake={self.mistake}): what it costs is what this run shows"


@dataclass(frozen=True)
class Said:
    """A sentence, as records before version 5 have it."""

    text: str
    name: Literal["said"] = "said"

    def __str__(self) -> str:
        return self.text


Flag = Steered | Crowded | Beside | Contended | Early | SlowClock | Mistaken | Said
KINDS: dict[str, type[Flag]] = {
    kind.name: kind
    for kind in (Steered, Crowded, Beside, Contended, Early, SlowClock, Mistaken, Said)
}
TOLD = (Contended, Early)  # keep nobody out of a table


def read_flag(value: str | Mapping[str, Any]) -> Flag:
    """Return a flag from a record, new or old. Raises KeyError or ConfigError for another kind."""
    return Said(value) if isinstance(value, str) else read(KINDS[value["name"]], value, "flags")


def of_config(config: RunConfig) -> tuple[Flag, ...]:
    """Return the flags of a run that is to be done as `config` says."""
    mistake = config.loss.mistake
    found: tuple[Flag, ...] = (Mistaken(mistake),) if mistake else ()
    watchers = tuple(config.watchers())
    steered = watchers and config.monitor.startswith("test")
    return (*found, Steered(watchers, config.monitor)) if steered else found
