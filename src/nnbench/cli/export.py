"""`nnbench export RUN --format torch|keras`: a run's net for the plain framework."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from nnbench.cli import options
from nnbench.config.installation import lacks
from nnbench.errors import ConfigError, ResultsError
from nnbench.reporting.pages.screen import say
from nnbench.schema.files import reason

FORMATS = {"torch": ".pt", "keras": ".keras"}


@click.command()
@click.option("--format", "kind", type=click.Choice(list(FORMATS)), required=True)
@click.option("--out", type=click.Path(dir_okay=False), help="file to write; default: in the run")
@options.results
@click.argument("run")
def command(kind: str, out: str | None, results: Path, run: str) -> int:
    """Write the net of a run (its name, id or folder) so that plain PyTorch (a state_dict and the
    lines that build its model) or plain Keras (.keras) loads it without nnbench.
    """
    from nnbench.cli.progress import Display
    from nnbench.records import weights
    from nnbench.records.lookup import recorded

    record = recorded(run, results)
    directory = record.directory
    assert directory is not None
    inputs = record.data.get("inputs") or {}
    if not {"shape", "scale", "dtype"} <= inputs.keys() or "outputs" not in record.data:
        raise ConfigError(f"{directory} was recorded before nnbench could export; run it again.")
    path = Path(out) if out else directory / f"model{FORMATS[kind]}"
    if path.suffix != FORMATS[kind]:
        raise ConfigError(f"Received --out {path}; --format {kind} needs a {FORMATS[kind]} file.")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"Received --out {path}; {path.absolute().parent} does not exist.")
    params = weights.finite_weights(directory)
    with Display().work("export") as work:
        work(0, 0, f"loading {kind}")
        files = _export(kind, record, params, path)
    for written in files:
        say(f"wrote {written}")
    return 0


def _export(kind: str, record: Any, params: Any, path: Path) -> list[Path]:
    from nnbench.config.run import read_config
    from nnbench.model.formulas import documented_net
    from nnbench.model.init import complete_params

    inputs = record.data["inputs"]
    config = read_config(record.config)
    net = config.arch.build(tuple(inputs["shape"]), record.data["outputs"])
    net = documented_net(net.with_values(record.effective))
    params = complete_params(params, net, "error", {}, origin=str(record.directory))
    scale = inputs["scale"]
    note = f"From run {record.run_id} ({record.shown})." + (
        f" Stored bytes times {scale:.9g} make its inputs." if inputs["dtype"] == "uint8" else ""
    )
    try:
        if kind == "torch":
            from nnbench.backends.torch.export import export

            return export(net, params, path, note)
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
        from nnbench.backends.keras.export import export as export_keras

        return export_keras(net, params, path)
    except ModuleNotFoundError as error:
        raise lacks(f"--format {kind}", str(error.name), kind) from None
    except (OSError, RuntimeError) as error:  # PyTorch's own for a full disk
        raise ResultsError(f"Cannot write {path}: {reason(error)}.") from None
