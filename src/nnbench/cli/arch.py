"""`nnbench arch ARGS`: the layers of the net that a run would train."""

from __future__ import annotations

from collections.abc import Sequence

import click

from nnbench.cli import options


@click.command()
@options.overrides
def command(overrides: Sequence[str]) -> int:
    """Print the layers of the net that a run with these overrides would train, with shapes and
    parameter counts, as in `nnbench arch arch=lenet5 data=mnist_5k`.
    """
    from nnbench import data
    from nnbench.config.composition import compose
    from nnbench.reporting.pages.layers import layer_table
    from nnbench.reporting.pages.screen import Screen
    from nnbench.training.assembly import make_architecture

    config = compose(overrides).config
    dataset = data.load(config.data, kind=config.task, seed=config.seed)
    net = make_architecture(config, dataset)
    console = Screen()
    shape = "x".join(str(n) for n in net.input_shape)
    console.print(f"{net}: input {shape} from data={dataset.name}", highlight=False)
    if net.augment:
        console.print(
            f"in training: shift up to {net.augment.shift} pixels"
            + ", mirrored half of the time" * net.augment.flip,
            highlight=False,
        )
    console.print(layer_table(net.rows()))
    console.print(f"then {net.output_activation}, with loss={config.loss.name}", highlight=False)
    return 0
