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
    from nnbench.model.formulas import documented_net, given
    from nnbench.reporting.pages.layers import layer_table, optimizer_text
    from nnbench.reporting.pages.screen import Screen
    from nnbench.sweeps.process import ask
    from nnbench.sweeps.session import check_packages
    from nnbench.training.assembly import make_architecture

    cell = compose(overrides)
    config = cell.config
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
    if config.semantics == "native":  # only the framework knows
        check_packages(config)
        effective = ask("effective", [cell])["effective"]
    else:
        net = documented_net(net)
        effective = {f"optimizer.{key}": value for key, value in given(config.optimizer).items()}
    console.print(layer_table(net.with_values(effective).rows()))
    console.print(f"then {net.output_activation}, with loss={config.loss.name}", highlight=False)
    constants = optimizer_text(effective)
    console.print(f"optimizer={config.optimizer.name}: {constants}", highlight=False)
    return 0
