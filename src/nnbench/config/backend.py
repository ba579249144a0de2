"""A backend as it is configured: its Trainer, its executions, and what it needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from nnbench.config.variables import SETTING
from nnbench.schema.deferred import dataclass


@dataclass(frozen=True)
class BackendConfig:
    """A backend: its Trainer (`_target_`, dotted), its executions and what it needs installed.

    `loaders` are the executions that can take batches from a loader of the framework's own,
    `image_loaders` those whose loader can read images one by one.
    `execution=auto` is the first of `executions`; on device=cuda of `executions_on_cuda`, for nets
    with convolutions on the CPU of `executions_of_images`, where that differs. `engine`: the
    framework below, where there is a choice among `engines`. `origin`: the package or folder that
    brings it, where another backend has the same name.
    """

    name: str
    target: str
    execution: str
    executions: tuple[str, ...]
    executions_on_cuda: tuple[str, ...] | None = None
    executions_of_images: tuple[str, ...] | None = None
    engine: str | None = None
    engines: Any = None
    loaders: tuple[str, ...] = ()
    image_loaders: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    extra: str | None = None
    env: tuple[Annotated[str, SETTING], ...] = ()
    origin: str | None = None

    @property
    def variables(self) -> dict[str, str]:
        """Return what `env` sets in the environment, by name."""
        return dict(pair.split("=", 1) for pair in self.env)

    @property
    def label(self) -> str:
        """Return what tells it from others, `keras fit`."""
        return label_of(vars(self))

    def executions_for(self, device: str, convolutional: bool) -> tuple[str, ...]:
        """Return the executions there are on `device` for a kind of net, the best one first."""
        if device == "cuda":
            return self.executions_on_cuda or self.executions
        return (convolutional and self.executions_of_images) or self.executions


def is_own(backend: Mapping[str, Any]) -> bool:
    """Tell nnbench's own backends from those that packages and folders bring, by their code."""
    target = backend.get("_target_") or backend.get("target") or ""
    return str(target).startswith("nnbench.backends.")


def label_of(backend: Any) -> str:
    """Return what tells a backend (its values) and its execution apart, `keras fit`.

    The best execution goes unnamed, an origin only stands where two have one name.
    """
    words = [str(backend["name"])]
    if (engine := backend.get("engine")) not in (None, "tensorflow"):
        words.append(str(engine))
    if backend["execution"] not in backend["executions"][:1]:
        words.append(backend["execution"])
    if origin := backend.get("origin"):
        words.append(f"({origin})")
    return " ".join(words)
