"""What is typed wrong: one line, and a remedy that can be pasted."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nnbench.config.composition import compose, compose_all
from nnbench.config.remedy import remedy
from nnbench.config.words import check, in_quotes, replaced
from nnbench.errors import ConfigError

TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1
)


@settings(max_examples=300, deadline=None)
@given(TEXTS)
@example("résults")
@example("日本")
@example("a=b")
@example("a#b,c")
@example("{a")
@example('say "hi"')
@example("back\\slash\\")
@example("it's")
@example("[1,2")
@example("f(x")
@example("${x")
def test_any_text_is_taken_or_the_remedy_takes_it(text: str) -> None:
    """Hydra's grammar is the judge: what the remedy says must come out as the text."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parser = OverridesParser.create()
    word = f"name={in_quotes(text)}"
    assert parser.parse_override(word).value() == text
    said = ""
    try:
        check([f"name={text}"])
    except ConfigError as error:
        said = str(error)
    assert said == "" or said.startswith("Received name=")
    assert "\n" not in said


WRONG = {
    "device=0": "must be one of auto, cpu, cuda",
    "backend=null": "must be one of forgenn, keras",
    "loss=5": "must be one of bce, cross_entropy",
    "launcher=[{name: x}]": "must be one of parallel, sequential, slurm",
    "schedule={}": "must be one of constant, cosine",
    "backend=[numpy,torch]": "a run takes one backend, a sweep several: -m backend=numpy,torch",
    "arch=[mlp]": "a run takes one arch: arch=mlp",
    "seed=0,1": "a run takes one value, -m takes several",
    "backend=numpy,torch": "a run takes one value, -m takes several",
    "arch.hidden=[1,2": "the [ is not closed",
    "results=/tmp/résults": "needs quotes, within the shell's: 'results=\"/tmp/résults\"'",
    "optimizer.lr=0.1": "Unknown key 'optimizer.lr'; here it is schedule.lr",
    "model=mlp": "Unknown key 'model'; here it is arch",
    "launcher.parameters=5": "The chosen launcher has no 'parameters'; launcher=slurm has",
}


@pytest.mark.parametrize("word", WRONG)
def test_a_mistake_is_one_line(word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([word])
    assert WRONG[word] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_suggestions_come_from_the_option_that_was_chosen() -> None:
    with pytest.raises(ConfigError, match=r"schedule=cosine has no 'warmup'; 'warmup_epochs' is a"):
        compose(["schedule=cosine", "schedule.warmup=3"])
    with pytest.raises(
        ConfigError, match=r"optimizer=adam has no 'beta_1'; did you mean 'optimizer.beta1'"
    ):
        compose(["optimizer=adam", "optimizer.beta_1=0.5"])
    with pytest.raises(ConfigError, match=r"schedule=constant has no 'x'; it has lr"):
        compose(["schedule=constant", "schedule.x=3"])


def test_a_sweep_takes_several_values_and_no_list_of_options() -> None:
    assert len(compose_all(["backend=numpy,numpy_reference", "seed=0,1"])) == 4
    with pytest.raises(ConfigError, match="a run takes one backend, a sweep several"):
        compose_all(["backend=[numpy,torch]", "seed=0,1"])
    with pytest.raises(ConfigError, match="must be one of auto, cpu, cuda"):
        compose_all(["device=cpu,0"])


@pytest.mark.parametrize("file", ["survey.csv", "a survey, 2nd.csv.gz"])
def test_data_without_a_path_has_a_file_of_the_folder_for_a_remedy(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / file).touch()
    (tmp_path / "arrays.npz").touch()
    for many in (False, True):
        with pytest.raises(ConfigError) as caught:
            (compose_all if many else compose)(["data=csv", "seed=1"])
        found = remedy(["data=csv", "seed=1"], many, str(caught.value))
        assert found is not None
        cell = compose(found[1:] if many else found)
        assert cell.values["data"]["path"] == file


def test_a_list_of_values_that_a_later_word_replaces_is_told() -> None:
    assert replaced(["seed=0,1", "backend=numpy", "seed=2"]) == ["seed=2 replaces seed=0,1"]
    assert replaced(["seed=range(3)", "seed=2,3"]) == ["seed=2,3 replaces seed=range(3)"]
    assert replaced(["seed=1", "arch.hidden=[1,2]", "seed=2", "arch.hidden=[3]"]) == []
    assert replaced(["seed=0,1", "epochs=1,2", "seed=0,1"]) == []
    assert compose(["seed=1", "seed=2"]).values["seed"] == 2
