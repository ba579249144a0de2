"""The configuration: defaults, groups, experiments, and one clear line for each mistake."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.errors import HydraException

from nnbench.config import catalogue, sources
from nnbench.config.composer import to_cell, without_hydra
from nnbench.config.composition import (
    _composer,
    combinations,
    compose,
    compose_all,
    composer,
    is_hydras,
)
from nnbench.config.run import read_config
from nnbench.errors import ConfigError
from nnbench.model.architectures import MLP
from nnbench.model.init import NativeInit, Normal
from nnbench.model.losses import Loss
from nnbench.model.optimizers import SGD

# What an option needs from others to make a run.
NEEDS = {
    "schedule/listed": ["schedule.rates=[0.1,0.05]"],
    "csv": ["data.path=x.csv"],
    "npz": ["data.path=x.npz"],
    "from_run": ["init.run=x"],
    "layers": ["arch.layers=[flatten]"],
    "linear_regression": ["loss=mse"],
    "text": ["data=sequences"],
    "plateau": ["data.val_fraction=0.1"],
    "init/native": ["semantics=native"],
}


def test_bare_is_the_first_comparison_as_really_trained() -> None:
    config = compose([]).config
    assert config.arch == MLP(
        hidden=(128,), activation="sigmoid", output_activation="sigmoid", bias=False
    )
    assert config.loss == Loss("bce", "sum", "mean")
    assert config.optimizer == SGD()
    assert config.init == Normal(0.01)
    assert (config.batch_size, config.epochs, config.data.train_samples) == (1, 100, 1000)
    rates = [
        config.schedule.per_step(epoch, 1, 100, ())[0] for epoch in (0, 29, 30, 59, 60, 79, 80, 99)
    ]
    assert rates == [0.005, 0.005, 0.003, 0.003, 0.001, 0.001, 0.0005, 0.0005]


def test_every_option_of_every_group_composes_and_says_what_it_is() -> None:
    """One of each group at a time; by itself what needs an option of another group."""
    queues: list[list[list[str]]] = []
    for group in catalogue.groups():
        queues.append([])
        for option, found in catalogue.options(group).items():
            assert len(found.text) > 10, f"conf/{group}/{option}.yaml opens with no comment"
            needs = NEEDS.get(option, []) + NEEDS.get(f"{group}/{option}", [])
            words = [f"{group}={option}", *needs]
            if any("." not in need for need in needs):
                assert compose(words).config is not None
            else:
                queues[-1].append(words)
    for together in zip_longest(*queues, fillvalue=()):
        assert compose([word for words in together for word in words]).config is not None


def alone(overrides: Sequence[str]) -> dict[str, Any] | None:
    """Return the values of what Hydra itself composes of `overrides`; None where it refuses."""
    try:
        with initialize_config_dir(str(sources.root() / "conf"), version_base="1.3"):
            whole = hydra_compose("config", list(overrides), return_hydra_config=True)
            return to_cell(*without_hydra(whole), overrides).values
    except (HydraException, ConfigError):
        return None


def shared(overrides: Sequence[str]) -> dict[str, Any] | None:
    """Return the same by nnbench's composer."""
    try:
        return compose(overrides).values
    except ConfigError:
        return None


SHARING = (
    ["seed=1"],
    ["seed=2"],
    ["seed=2", "seed=3"],
    ["seed=4", "epochs=9", "backend=torch"],
    ["backend=torch", "backend.execution=compile"],
    ["backend=keras", "backend.engine=jax"],
    ["backend=keras_fit", "backend.engine=jax", "backend.execution=fit"],
    ["data=sequences", "arch=text", "data.vocabulary=60"],
    ["data=csv", "data.path=a.csv", "data.label=y"],
    ["data=csv", "data.path=b.csv", "data.label=x"],
    ["schedule=listed", "schedule.rates=[0.1,0.2]"],
    ["schedule=listed", "schedule.rates=[0.3]"],
    ["optimizer=adam", "optimizer.beta1=0.8"],
    ["seed=null"],
    ["+seed=1"],
    ["sed=1"],
    ["seed=1,2"],
    ["backend=nunpy"],
    ["experiment=create_nn_from_numpy/matched_numpy_b1"],
    ["experiment=create_nn_from_numpy/matched_numpy_b1", "seed=8"],
    ["experiment=create_nn_from_numpy/matched_numpy_b1", "arch.hidden=[5]", "arch=mlp"],
    ["experiment=create_nn_from_numpy/matched_numpy_b1", "arch.hidden=[6,7]", "arch=mlp"],
)


SOME = [SHARING[i] for i in (1, 2, 8, 9, 10, 11, 13, 16, 18, 20, 21)]


@pytest.mark.parametrize(
    ("words", "refused"), [(SOME, 2), pytest.param(SHARING, 5, marks=pytest.mark.slow)]
)
def test_what_is_composed_once_for_many_is_what_hydra_composes_for_each(
    words: Sequence[list[str]], refused: int
) -> None:
    expected = {str(overrides): alone(overrides) for overrides in words}
    assert sum(values is None for values in expected.values()) == refused
    _composer.cache_clear()
    for overrides in (*words, *words[::-1]):
        assert shared(overrides) == expected[str(overrides)], overrides


SWEPT = (
    *("seed=0,1", "seed=range(0,3)", "seed=choice(4,2)", "init.scale=0.1,0.01", "+name=a,b"),
    *("name='a b','c,d'", "seed=sort(3,1,2,reverse=true)", "seed=1"),
    *("schedule.rates=[0.1,0.2],[0.3]", "backend=numpy,torch", "optimizer=glob(ad*)"),
    *(
        "seed=4,5",
        "arch.hidden=[5]",
        "name=a\\,b",
        "experiment=create_nn_from_numpy/matched_numpy_b1",
    ),
)


@pytest.mark.parametrize(
    "more", [(), ("backend=keras,numpy", "seed=9"), ("epochs=1,2", "seed=5,6")]
)
@pytest.mark.parametrize("word", SWEPT)
def test_a_sweep_has_the_cells_that_hydras_sweeper_makes(word: str, more: Sequence[str]) -> None:
    words, each = [word, *more], composer()
    (batch,) = BasicSweeper.split_arguments(list(map(each.parse, words)), None)
    assert combinations(words) == [list(cell) for cell in batch]


def test_what_is_hydras_own_in_words_and_files_goes_to_hydra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_hydras(["seed=0,1", "backend=numpy,torch"], many=True)
    for word in ("hydra.sweep.dir=x", "+hydra.job.env_set.A=1", "hydra/sweeper=basic"):
        assert is_hydras([word], many=True)
        assert is_hydras([word], many=False)
    assert is_hydras(["search.trials=3", "init.scale=interval(0,1)"], many=True)
    (tmp_path / "schedule").mkdir()
    file = tmp_path / "schedule" / "mine.yaml"
    monkeypatch.setattr(sources, "_typed", [tmp_path])
    for text, expected in (
        ("name: constant\nlr: 0.1\n", False),
        ("# @package _global_\nhydra:\n  sweeper:\n    params: {seed: '0,1'}\n", True),
        ("# @package _global_\nsearch:\n  trials: 3\n", True),
        ("defaults:\n  - override /hydra/launcher: basic\n", True),
    ):
        file.write_text(text)
        assert is_hydras(["seed=0,1"], many=True) == expected


def test_a_file_that_changes_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "init"
    folder.mkdir()
    (folder / "mine.yaml").write_text("# Mine.\nname: normal\nscale: 0.5\n")
    monkeypatch.setattr(sources, "_typed", [tmp_path])
    assert compose(["init=mine"]).config.init == Normal(0.5)
    (folder / "mine.yaml").write_text("# Mine.\nname: normal\nscale: 0.25\n")
    assert compose(["init=mine"]).config.init == Normal(0.25)
    (folder / "mine.yaml").unlink()
    with pytest.raises(ConfigError, match="init=mine"):
        compose(["init=mine"])


def test_files_of_a_folder_that_hydra_is_told_are_read_again(tmp_path: Path) -> None:
    (tmp_path / "init").mkdir()
    for scale in (0.5, 0.25):
        (tmp_path / "init" / "mine.yaml").write_text(f"# M.\nname: normal\nscale: {scale}\n")
        make = composer([f"hydra.searchpath=[file://{tmp_path}]"])
        assert make.cell(["init=mine"]).config.init == Normal(scale)


def test_a_variable_that_changes_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a file and in what is typed: a notebook may set it between two runs."""
    (tmp_path / "init").mkdir()
    (tmp_path / "init" / "mine.yaml").write_text(
        "# M.\nname: normal\nscale: ${oc.decode:${oc.env:MINE}}\n"
    )
    monkeypatch.setattr(sources, "_typed", [tmp_path])
    for scale in ("0.5", "0.25"):
        monkeypatch.setenv("MINE", scale)
        assert compose(["init=mine"]).config.init == Normal(float(scale))
        for cell in compose_all(["init=mine", "name=${oc.env:MINE}", "seed=0,1"]):
            assert (cell.config.init, cell.values["name"]) == (Normal(float(scale)), scale)


def test_the_values_written_for_the_worker_read_back_to_the_same_configuration() -> None:
    cell = compose(["backend=keras_fit", "loss=cross_entropy", "data.val_fraction=0.1"])
    assert read_config(cell.values) == cell.config
    assert cell.config.arch.output_activation == "softmax"


def test_native_semantics_take_the_frameworks_initializer_unless_one_is_set() -> None:
    assert compose(["semantics=native"]).config.init == NativeInit()
    assert compose(["semantics=native"]).config.shuffle
    assert compose(["semantics=native", "init=normal"]).config.init == Normal(0.01)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["batch_sise=1"], "Unknown key 'batch_sise'; did you mean 'batch_size'?"),
        (["batch_size=0"], "Received batch_size=0; must be at least 1."),
        (["init.scale=-1"], "Received init.scale=-1; must be greater than 0."),
        (["epochs=abc"], "Received epochs=abc; must be an integer, at least 1."),
        (
            ["backend=jax"],
            "Received backend=jax; must be one of forgenn, keras, keras_fit",
        ),
        (["+new=1"], "Unknown key 'new'"),
        (["+seed=1"], "leave out the '+'"),
        (["arch=mlp", "arch.hiden=[3]"], "did you mean 'arch.hidden'?"),
        (["init=he", "init.scale=1"], "The chosen init has no 'scale'; init=normal has."),
        (["data=csv"], "Missing value for data.path; set it with data.path=..."),
        (["hidden=3"], "did you mean 'arch.hidden'?"),
        (["lr=0.1"], "Unknown key 'lr'; here it is schedule.lr"),
        (["optimiser=sgd"], "did you mean 'optimizer'?"),
        (["backend"], "Received 'backend'; must be KEY=VALUE"),
        (["init=native"], "needs semantics=native"),
        (["arch.output_activation=tanh"], "loss=bce needs sigmoid"),
        (["task=regression"], "task=regression needs loss=mse"),
        (["keep.weights=best"], "set data.val_fraction=0.1"),
        (["schedule.rates=[1]"], "Received 1 schedule.rates for 4 schedule.starts"),
        (["schedule.starts=[1,2,3,4]"], "must begin with 0"),
        (["backend.execution=jit"], "backend=numpy has fused, reference"),
        (["device=cuda", "backend.execution=fused"], "has reference on device=cuda"),
        (["backend=torch", "backend.execution=cudagraph"], "has eager, compile on device=cpu"),
        (["input=native"], "no loader of its own with backend.execution=fused; use input=resident"),
        (["backend=keras", "input=native"], "input=resident or backend.execution=fit"),
        (["backend=keras", "backend.engine=jax", "backend.execution=graph"], "keras has xla, fit"),
        (["dtype=float16"], "must be one of float32, float64"),
        (["init=uniform", "init.low=1"], "init.low must be less than init.high"),
        (["seed=-1"], "Received seed=-1; must be at least 0."),
        (["threads=0"], "Received threads=0; must be at least 1."),
        (["experiment=create_nn_from_numpy/published_torch_b2"], "did you mean"),
        (["experiment=nothing"], "it is STUDY/CASE, of the studies create_nn_from_numpy"),
    ],
)
def test_a_mistake_costs_one_line_with_the_remedy(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(overrides)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_paths_lead_to_the_configuration_of_this_checkout() -> None:
    assert (sources.root() / "conf" / "config.yaml").is_file()
    assert Path(sources.root()).is_absolute()
