"""Parity certificates in sweeps and from `nnbench parity`; `nnbench trace` and `nnbench arch`."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from nnbench.records import recomputed
from nnbench.records.flags import Steered
from nnbench.records.folder import read_runs
from nnbench.records.standing import Standing, standing
from support.commands import TINY, Nnbench

SMALL = ["data=synthetic", "data.samples=200", "epochs=2", "batch_size=32", "data.features=12"]

# A backend that goes another way in step 3 of the second epoch (6 steps an epoch).
WRONG = """
from nnbench.backends.numpy import NumpyTrainer
class Wrong(NumpyTrainer):
    def train(self, walk):
        stats = super().train(walk)
        if walk.first_step <= 8 < walk.first_step + len(walk.lr):
            key = list(self._params)[-1]
            self._params[key] *= 1.001
        return stats
"""


@pytest.fixture
def wrong(tmp_path: Path) -> None:
    """Put the wrong backend where `--config-dir own` finds it."""
    folder = tmp_path / "own" / "backend"
    folder.mkdir(parents=True)
    (folder / "wrong.yaml").write_text(
        "name: wrong\n_target_: wrong.Wrong\nexecution: reference\nexecutions: [reference]\n"
    )
    (tmp_path / "own" / "wrong.py").write_text(WRONG)


@pytest.mark.parametrize(
    "other", ["numpy_reference", pytest.param("torch", marks=pytest.mark.slow)]
)
def test_parity_certifies_in_both_precisions(nnbench: Nnbench, tmp_path: Path, other: str) -> None:
    pytest.importorskip(other.partition("_")[0])
    done = nnbench("parity", *SMALL, f"backend=numpy,{other}")
    assert done.returncode == 0, done.stderr
    assert "float64, 2 epochs of 6 steps" in done.stdout
    assert "float32, 2 epochs of 6 steps" in done.stdout
    files = sorted((tmp_path / "results" / "parity").glob("*/parity.json"))
    bounds = {"float64": 1e-12, "float32": 1e-4}
    assert len(files) == 2
    for path in files:
        said = json.loads(path.read_text())
        (found,) = said["certificates"]
        assert found["outcome"] == "agrees"
        assert found["first_steps"] == [1, 2, 4]
        assert found["compared_steps"] == 12
        assert found["figures"] == {"wrong": [], "unchecked": None, "undecided": {}}
        assert len(found["difference"]) == len(found["layer_differences"]) == 2
        assert set(found["layer_differences"][0]) == {"0", "2"}  # the layers that learn
        assert 0 < found["envelope"][-1] < bounds[said["config"]["dtype"]]


@pytest.mark.usefixtures("wrong")
def test_parity_names_the_first_step_and_layer_that_part(nnbench: Nnbench) -> None:
    done = nnbench("parity", *SMALL, "--config-dir", "own", "backend=numpy,wrong", "dtype=float64")
    assert done.returncode == 1
    assert (
        "parity diverges: wrong against numpy, float64, seed 0: at epoch 2, step 3, layer 3 (dense "
        "units=3 bias=false): weights differ by" in " ".join(done.stdout.split())
    )
    assert done.stderr.strip() == "nnbench: 1 comparison failed or proved nothing."


def test_a_chaotic_comparison_says_so(nnbench: Nnbench) -> None:
    """A learning rate far too large: one ulp grows past any comparison."""
    rate = ["schedule=constant", "schedule.lr=60", "arch=mlp", "arch.activation=tanh", "epochs=30"]
    words = [*SMALL, *rate, "data.noise=2", "loss=mse", "arch.hidden=[16,16]"]
    done = nnbench("parity", *words, "backend=numpy,numpy_reference", "dtype=float32")
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    found = re.search(
        r"parity chaotic after step (\d+): numpy reference against .*: until then weights",
        text,
    )
    assert found, text
    assert int(found.group(1)) in (1, 2, 4, *range(6, 180, 6))
    assert "one ulp alone then grows past any comparison" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("backend=numpy",), "Parity needs two backends"),
        (("semantics=native",), "Received semantics=native; only matched backends can be compared"),
        (("backend=numpy,torhc",), "Received backend=torhc; must be one of"),
        (("backend=keras,keras_jax", "dtype=float32"), "Received several Keras engines"),
        (("--config-dir", "nowhere"), "Received --config-dir nowhere; no such folder"),
        (("batch_size=0",), "Received batch_size=0; must be at least 1"),
    ],
)
def test_bad_parity_requests_are_one_clear_line(
    nnbench: Nnbench, arguments: tuple[str, ...], message: str
) -> None:
    if "jax" in " ".join(arguments):
        pytest.importorskip("jax")
    done = nnbench("parity", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_a_sweep_over_backends_is_certified(nnbench: Nnbench, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    done = nnbench("-m", "backend=torch,numpy", *SMALL, "tracking=local")
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "Checking the figures of 2 runs, 1 extra run for agreement" in text
    assert "parity agrees: torch against numpy, float32, seed 0: " in text
    runs = list(read_runs(tmp_path / "results"))
    assert len(runs) == 2  # the run from one ulp away is not among them
    for run in runs:
        assert run.parity is not None
        assert run.directory is not None
        assert standing(run) == Standing(True, "")
        assert run.parity["figures"]["unchecked"] is None
        logits = recomputed.load(run.directory)
        assert logits is not None
        assert {k: v.shape for k, v in logits.items()} == {"train_eval": (161, 3), "test": (39, 3)}
        if run.config["backend"]["name"] == "numpy":
            assert run.parity["outcome"] == "figures agree"
            continue
        assert run.parity["outcome"] == "agrees"
        assert run.parity["first_steps"] == [1, 2, 4]
        assert 0 < run.parity["difference"][-1] <= run.parity["envelope"][-1]


@pytest.mark.usefixtures("wrong")
def test_a_sweep_with_a_wrong_backend_says_where_it_parts(nnbench: Nnbench, tmp_path: Path) -> None:
    words = ("-m", "--config-dir", "own", "backend=numpy,wrong", *SMALL, "dtype=float64")
    done = nnbench(*words, "tracking=local")
    assert done.returncode == 1
    assert "1 of 2 runs diverge or report wrong figures" in done.stderr
    text = " ".join(done.stdout.split())
    where = "epoch 2, step 3, layer 3 (dense units=3 bias=false)"
    assert f"parity diverges: wrong against numpy, float64, seed 0: at {where}: weights" in text
    (run,) = (r for r in read_runs(tmp_path / "results") if r.config["backend"]["name"] == "wrong")
    assert standing(run).word == f"diverges ({where})"
    assert not standing(run).ranked
    assert run.parity is not None
    assert (run.parity["parted_epoch"], run.parity["parted_step"]) == (1, 3)
    assert run.parity["parted_layer"] == 2


def test_certificates_can_be_left_out(nnbench: Nnbench, tmp_path: Path) -> None:
    done = nnbench("-m", "backend=numpy,numpy_reference", *TINY, "parity=false")
    assert "parity" not in done.stdout
    assert not (tmp_path / "results" / "parity").exists()


def test_a_certificate_reaches_mlflow(nnbench: Nnbench, tmp_path: Path, tables: Path) -> None:
    (tmp_path / "results").mkdir()
    shutil.copy(tables, tmp_path / "results")
    done = nnbench("-m", "backend=numpy,numpy_reference", *SMALL)
    assert done.returncode == 0, done.stderr
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'results' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("nnbench")
    runs = client.search_runs([experiment.experiment_id])
    tagged = [r for r in runs if "nnbench.parity" in r.data.tags]
    assert len(runs) == 2
    certified = {r.data.tags["nnbench.parity"]: r.info.run_id for r in tagged}
    assert certified.keys() == {"figures agree", "agrees"}
    history = client.get_metric_history(certified["agrees"], "parity/difference")
    assert [metric.step for metric in history] == [0, 1]


@pytest.mark.parametrize(
    "others",
    [["numpy_reference"], *(pytest.param([n], marks=pytest.mark.slow) for n in ("torch", "keras"))],
)
def test_a_traced_step_adds_up(nnbench: Nnbench, tmp_path: Path, others: list[str]) -> None:
    """On every backend the same numbers; the update is what the optimizer makes of the gradient."""
    for name in others:
        pytest.importorskip(name.partition("_")[0])
    net = "arch.layers=[{name: conv2d, filters: 2}, batch_norm, tanh, flatten, {name: dropout}]"
    words = ("data=digits", "arch=layers", net, "loss=cross_entropy", "batch_size=16", "init=he")
    done = nnbench(
        *("trace", "--step", "4", "--out", "t.npz", *words, "dtype=float64"),
        *(f"backend={','.join(['numpy', *others])}", "schedule=constant", "schedule.lr=0.1"),
    )
    assert done.returncode == 0, done.stderr
    assert "layer 2: batch_norm" in done.stdout
    arrays = np.load(tmp_path / "t.npz")
    names = [name.partition("/")[2] for name in arrays.files if name.startswith("numpy/")]
    assert {"input", "0.output", "4.output.gradient", "5.kernel.gradient"} <= set(names)
    for name in names:
        for other in others:
            label = {"keras": "keras graph"}.get(other, other.replace("_", " "))
            difference = np.abs(arrays[f"numpy/{name}"] - arrays[f"{label}/{name}"]).max()
            # 0.bias is before a batch norm and has no gradient but rounding.
            assert difference <= 1e-12, (name, other)
    for name in names:
        if name.endswith(".update"):
            gradient = arrays[f"numpy/{name.replace('update', 'gradient')}"]
            assert np.abs(arrays[f"numpy/{name}"] + 0.1 * gradient).max() <= 1e-15
    dropped = arrays["numpy/4.output"] == 0
    assert 0.3 < dropped.mean() < 0.7
    assert (arrays["numpy/3.output.gradient"][dropped] == 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--step", "0"), "Received --step 0; must be at least 1"),
        (("--step", "13", *SMALL), "Received --step 13; the run has 12, epochs=2 of 6"),
        (("--step", "x"), "'x' is not a valid integer"),
        (("--stp", "1"), "No such option"),
    ],
)
def test_bad_trace_requests_are_one_clear_line(
    nnbench: Nnbench, arguments: tuple[str, ...], message: str
) -> None:
    done = nnbench("trace", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_table_of_layers(nnbench: Nnbench) -> None:
    done = nnbench("arch", "arch=lenet5", "loss=cross_entropy")
    assert done.returncode == 0, done.stderr
    assert "conv2d filters=16 kernel_size=5" in done.stdout
    assert "61,706" in done.stdout
    done = nnbench(*TINY)
    assert "dense units=128 bias=false" in done.stdout
    assert "2,944" in done.stdout  # 20 x 128 + 128 x 3, the sum under the table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("arch=layers", "arch.layers=[{name: conv2d, filters: 3}]"), "needs flat input"),
        (
            ("arch=layers", "arch.layers=[{name: conv2d, filters: 3}, flatten]", "data=synthetic"),
            "Layer 1, conv2d, needs images (height, width, channels), received (20,)",
        ),
        (("arch=layers", "arch.layers=[conv3d]"), "Received arch.layers[0]='conv3d'"),
        (
            ("arch=layers", "arch.layers=[flatten, {name: dense, units: 3, bais: true}]"),
            "Unknown key 'arch.layers[1].bais', did you mean 'bias'?",
        ),
        (
            ("arch=layers", "arch.layers=[flatten, {name: embedding, vocabulary: 3}]"),
            "Layer 2, embedding, takes integer tokens, so that it must be the first layer",
        ),
        (("arch=text",), "A value is taken from data.vocabulary, which the chosen data lacks"),
        (("data=sequences",), "data=sequences has integer tokens, which need an embedding"),
    ],
)
def test_nets_that_do_not_fit_are_one_clear_line(
    nnbench: Nnbench, arguments: tuple[str, ...], message: str
) -> None:
    done = nnbench("arch", *arguments)
    assert done.returncode == 2
    assert message in done.stderr.replace("; did", ", did")
    assert len(done.stderr.strip().splitlines()) == 1


def test_tokens_that_the_embedding_lacks_are_one_clear_line(nnbench: Nnbench) -> None:
    done = nnbench("arch=text", "data=sequences", "arch.layers.0.vocabulary=8", "tracking=local")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    words = ("arch=layers", "arch.layers=[{name: embedding, vocabulary: 8}, flatten]")
    done = nnbench(*words, "data=sequences", "tracking=local", "loss=cross_entropy")
    assert done.returncode == 2
    assert "Received inputs from 0 to 31; layer 1, embedding, takes whole numbers" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_run_stops_early_and_keeps_its_best(nnbench: Nnbench, tmp_path: Path) -> None:
    words = ("data=synthetic", "data.samples=200", "data.noise=3", "batch_size=16", "epochs=60")
    done = nnbench(
        *(*words, "data.val_fraction=0.3", "early_stopping.patience=4", "tracking=local"),
        *("schedule=constant", "schedule.lr=0.3", "init=he", "arch=mlp"),
    )
    assert done.returncode == 0, done.stderr
    (run,) = read_runs(tmp_path / "results")
    assert run.status == "finished"
    assert len(run.epochs) < 60
    losses = [epoch.val_loss for epoch in run.epochs]
    assert run.kept_epoch == int(np.argmin(losses)) == len(run.epochs) - 5
    assert f"stopped after epoch {len(run.epochs)}: val_loss has not improved" in done.stdout


def test_watching_the_test_data_is_flagged_everywhere(
    nnbench: Nnbench, tmp_path: Path, tables: Path
) -> None:
    (tmp_path / "results").mkdir()
    shutil.copy(tables, tmp_path / "results")
    words = (*TINY[:-1], "monitor=test_loss", "keep.weights=best")
    done = nnbench(*words)
    assert done.returncode == 0, done.stderr
    flag = "the test data steered this run (keep.weights=best with monitor=test_loss)"
    assert flag in " ".join(done.stdout.split())
    assert flag in " ".join(nnbench("ls").stdout.split())
    (run,) = read_runs(tmp_path / "results")
    assert run.directory is not None
    assert Steered(("keep.weights=best",), "test_loss") in run.flags
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'results' / 'mlflow.db'}")
    mirrored = client.get_run(run.tracking["mlflow_run_id"])
    assert flag in mirrored.data.tags["nnbench.flags"]
    assert flag in mirrored.data.tags["mlflow.note.content"]
