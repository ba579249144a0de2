"""From whose weights a run starts: those of A's program or of B's, fitted to the net between."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnbench import data
from nnbench.model.init import KerasDefault, Params, initial_params
from nnbench.model.network import ParamKey
from nnbench.records.weights import load_weights, save_weights, weights_digest
from nnbench.reporting.diagnosis.sides import Side
from nnbench.reporting.explain.bridge import cell
from nnbench.reporting.explain.layers import slots
from nnbench.schema.deferred import dataclass
from nnbench.training.assembly import make_architecture

OF = "init"  # the group whose `run` says from which side
PLAIN = {"name": "keras_default"}  # stands for a side's weights where none are needed


@dataclass(frozen=True)
class Starts:
    """Initial weights of both sides by seed, in the common form, kept as files in `folder`."""

    layers: tuple[list[Any], list[Any]]
    weights: Mapping[int, tuple[Params, Params]]
    folder: Path

    @classmethod
    def of(
        cls,
        sides: tuple[Side, Side],
        values: tuple[Mapping[str, Any], Mapping[str, Any]],
        files: tuple[Mapping[int, Path], Mapping[int, Path]],
        folder: Path,
    ) -> Starts:
        """Read the weights of both programs for the seeds that both have."""
        seeds = [seed for seed in files[0] if seed in files[1]]
        weights = {
            seed: (
                sides[0].params(load_weights(files[0][seed])),
                sides[1].params(load_weights(files[1][seed])),
            )
            for seed in seeds
        }
        folder.mkdir(parents=True, exist_ok=True)
        return cls((values[0]["arch"]["layers"], values[1]["arch"]["layers"]), weights, folder)

    def placed(self, values: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Return a configuration that starts from a file of the weights that `init.run` names.

        `init.run` is `A` or `B`. Layers that this side does not have, or has in another shape, get
        the other side's weights; what neither has is drawn.
        """
        found = copy.deepcopy(dict(values)) | {"seed": seed}
        side = 0 if values[OF]["run"] == "A" else 1
        plain = cell(found | {OF: PLAIN}).config
        outline = data.outline(plain.data, kind=plain.task, seed=seed)
        net = make_architecture(plain, outline)
        params = initial_params(KerasDefault(), net, seed, "float32")
        for other in (1 - side, side):
            params |= self._fitting(values["arch"]["layers"], params, seed, other)
        path = self.folder / f"start-{weights_digest(params)[:16]}.safetensors"
        if not path.exists():
            save_weights(path, params, str(net))
        return found | {OF: {"name": "from_run", "run": str(path), "missing": "error"}}

    def _fitting(self, layers: list[Any], like: Params, seed: int, side: int) -> Params:
        """Return the weights of a side for those of `layers` that have its shapes."""
        mine, found = self.weights[seed][side], Params()
        i = j = 0
        for own, wanted in slots(self.layers[side], layers):
            if own is not None and wanted is not None:
                taken = {ParamKey(j, key.role): v for key, v in mine.items() if key.layer == i}
                wants = {key: v.shape for key, v in like.items() if key.layer == j}
                if all(k in taken and taken[k].shape == shape for k, shape in wants.items()):
                    found |= {key: taken[key] for key in wants}
            i, j = i + (own is not None), j + (wanted is not None)
        return found
