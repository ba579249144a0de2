"""What people type wrong: overrides and commands that are wrong by construction.

Each kind is a function of a random generator; none asks nnbench whether it is wrong.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Sequence

from nnbench.cli import COMMANDS
from nnbench.config import catalogue
from nnbench.config.mistakes import all_keys

Make = Callable[[random.Random], list[str]]

# Runs of a tenth of a second, should one start; no override of these is ever the wrong one.
SMALL = ["backend=numpy", "data=synthetic", "data.samples=60", "tracking=local"]
LIBERAL = ("arch.layers", "launcher.parameters", "backend.engines", "backend.env")

COUNTS = ("epochs", "batch_size", "threads", "gradient_accumulation_steps", "checkpoint.keep",
          "early_stopping.patience", "search.trials", "data.train_samples")  # fmt: skip
NUMBERS = ("init.scale", "optimizer.momentum", "optimizer.weight_decay", "data.noise",
           "early_stopping.min_delta", "data.test_fraction")  # fmt: skip
SWITCHES = ("shuffle", "drop_last", "augment.flip", "parity", "optimizer.nesterov", "arch.bias",
            "data.stratify", "tracking.system_metrics")  # fmt: skip
CHOICES = ("task", "dtype", "input", "monitor", "keep.weights", "checkpoint.unit", "order",
           "search.sampler", "on_error", "loss.over_batch", "optimizer.decay_on",
           "backend.execution", "data.normalize")  # fmt: skip
NEVER_NULL = (*COUNTS[:5], *NUMBERS[:2], NUMBERS[3], *SWITCHES, "task", "dtype", "order", "results",
              "schedule.rates", "arch.hidden", "tracking.experiment")  # fmt: skip
TEXTS = ("name", "results", "tracking.experiment", "data.root")
FOREIGN = ("résults", "日本", "µ=1", "naïve", "Ω", "mañana", "тест", "a\u2013b", "\u201cx\u201d")


def typo(word: str, rng: random.Random) -> str:
    """Return `word` with one letter left out, doubled, exchanged or replaced."""
    at = rng.randrange(len(word))
    return rng.choice(
        (
            lambda: word[:at] + word[at + 1 :] or "x",
            lambda: word[:at] + word[at] + word[at:],
            lambda: word[:at] + word[at : at + 2][::-1] + word[at + 2 :],
            lambda: word[:at] + rng.choice(string.ascii_lowercase) + word[at + 1 :],
            word.upper,
        )
    )()


def misspelt(words: Sequence[str], known: Sequence[str], rng: random.Random) -> str:
    """Return a typo of one of `words` that is none of `known`."""
    while True:
        found = typo(rng.choice(words), rng)
        if found not in known and not found.startswith((".", "-")) and ".." not in found:
            return found


def option(group: str, rng: random.Random) -> str:
    return rng.choice(list(catalogue.options(group)))


def wrong_key(rng: random.Random) -> list[str]:
    top = [key for key in catalogue.main_values() if key not in ("defaults", "hydra")]
    key = misspelt(top, all_keys(), rng)
    return [f"{key}={rng.choice(('1', 'true', '0.5', 'x'))}"]


def wrong_inner_key(rng: random.Random) -> list[str]:
    group = rng.choice(("optimizer", "schedule", "init", "loss", "arch", "data", "tracking"))
    keys = list(catalogue.options(group)[str(catalogue.usual(group))].settings)
    inner = misspelt(keys or ["scale"], keys, rng).strip(".")
    return [f"{group}.{inner or 'x'}9={rng.choice(('1', 'true', '0.5'))}"]


def wrong_group(rng: random.Random) -> list[str]:
    groups = [g for g in catalogue.groups() if g != "semantics"]
    group = rng.choice(groups)
    return [f"{misspelt([group], all_keys(), rng)}={option(group, rng)}"]


def wrong_option(rng: random.Random) -> list[str]:
    group = rng.choice(catalogue.groups())
    known = list(catalogue.options(group))
    return [f"{group}={misspelt(known, known, rng).strip('.')}"]


def no_option(rng: random.Random) -> list[str]:
    group = rng.choice(catalogue.groups())
    value = rng.choice(("0", "null", "true", "false", "5", "1.5", "[]", "{}", "[{name: x}]", "''",
                        "{name: x}", "nan", "-1", "[1,2]", "''", "[[a]]"))  # fmt: skip
    return [f"{group}={value}"]


def several_options(rng: random.Random) -> list[str]:
    group = rng.choice(("backend", "loss", "optimizer", "device", "init"))
    two = rng.sample(list(catalogue.options(group)), 2)
    return [rng.choice((f"{group}=[{','.join(two)}]", f"{group}={','.join(two)}"))]


def not_a_number(rng: random.Random) -> list[str]:
    key = rng.choice((*COUNTS, "seed", *NUMBERS))
    return [f"{key}={rng.choice(('abc', 'true', '[1]', '{a: 1}', 'ten', '1h', 'nan', '1..5'))}"]


def not_whole(rng: random.Random) -> list[str]:
    key = rng.choice((*COUNTS, "seed"))
    return [f"{key}={rng.choice(('1.5', '1e3', '2.0', '-0.1', 'inf', '0x10'))}"]


def out_of_range(rng: random.Random) -> list[str]:
    low = rng.choice(("0", "-1", "-100", "99999999999999999999999"))
    key, value = rng.choice((
        (rng.choice(COUNTS), low), ("seed", "-1"), ("init.scale", "-0.5"),
        ("data.test_fraction", "1.0"), ("data.val_fraction", "1"), ("data.test_fraction", "-1"),
        ("augment.shift", "64"), ("augment.shift", "-1"), ("optimizer.momentum", "-0.1"),
        ("data.noise", "-1"), ("arch.hidden", "[0]"), ("arch.hidden", "[-3]"),
        ("init.scale", "0"), ("schedule.rates", "[-1,1,1,1]"), ("schedule.starts", "[1,2,3,4]"),
    ))  # fmt: skip
    chosen = ["arch=mlp"] if key == "arch.hidden" else []
    return [*chosen, f"{key}={value}"]


def no_switch(rng: random.Random) -> list[str]:
    value = rng.choice(("5", "1", "0", "yes", "on", "[true]", "tru", "null", "''", "1.0"))
    return [f"{rng.choice(SWITCHES)}={value}"]


def no_choice(rng: random.Random) -> list[str]:
    return [f"{rng.choice(CHOICES)}={rng.choice(('5', 'nothing', 'true', '[x]', '{a: b}', 'x y'))}"]


def null(rng: random.Random) -> list[str]:
    chosen = {"arch.hidden": ["arch=mlp"]}
    key = rng.choice(NEVER_NULL)
    return [*chosen.get(key, []), f"{key}={rng.choice(('null', 'Null', 'NULL'))}"]


def no_text(rng: random.Random) -> list[str]:
    return [f"{rng.choice(TEXTS)}={rng.choice(('[a]', '{a: b}', 'true', '[]', '[a,b]'))}"]


def foreign(rng: random.Random) -> list[str]:
    key = rng.choice((*TEXTS, "backend", "loss", "epochs"))
    return [rng.choice((f"{key}={rng.choice(FOREIGN)}", f"{rng.choice(FOREIGN[:2])}=1"))]


def quotes(rng: random.Random) -> list[str]:
    value = rng.choice(('"a', "'a", 'a"', "it's", '"a" b"', "'", '"', '"a"b', "'a\\'"))
    return [f"{rng.choice((*TEXTS, 'backend', 'seed'))}={value}"]


def brackets(rng: random.Random) -> list[str]:
    value = rng.choice(("[1,2", "1,2]", "{a: 1", "a}", "(1", "f(1", "f(1)", "[1,[2]", "[1,2}", "[",
                        "{", ")", "choice(", "range(1,2", "[,]", "{:}"))  # fmt: skip
    return [f"{rng.choice(('arch.hidden', 'name', 'epochs', 'schedule.rates'))}={value}"]


def signs(rng: random.Random) -> list[str]:
    return [
        rng.choice((
            "name=a=b", "epochs==3", "=3", "==", "=", "name=a#b", "name=#", "results=a@b=c",
            "epochs =3", "epochs=", "batch_size=''", "backend=", "dtype=", "backend@x=numpy",
            "epochs@x=3", "@=1", "@last", "name=a;b", "name=a|b=", "name=*=", "a b=1", "#epochs=3",
            "epochs:3", "epochs", "3", "numpy", "-m=3", "seed=1;2", "name=!x", "seed=1 2",
            "name=a&b", "data.root=a^b", "name=`x`", "epochs=3,", ",epochs=3", "name=,",
            "name=a,,b", "data.root=C:\\new,\\x", "epochs=\t", "name=a\nb", "name=\x1b[1m",
        ))
    ]  # fmt: skip


def commas(rng: random.Random) -> list[str]:
    key = rng.choice(("seed", "epochs", "dtype", "name", "results", "init.scale", "shuffle"))
    return [
        f"{key}={rng.choice(('1,2', 'a,b', '1, 2', 'true,false', 'range(1,3)', 'choice(1,2)'))}"
    ]


def interpolation(rng: random.Random) -> list[str]:
    key = rng.choice(("name", "results", "epochs", "seed", "data.root", "backend"))
    value = rng.choice(("${oc.env:NNBENCH_NOPE}", "${nothing}", "${nothing.here}", "${epochs",
                        "${oc.nothing:x}", "${", "${}", "${oc.env}", "${now:}", f"${{{key}}}",
                        "a${oc.env:NNBENCH_NOPE}b", "${oc.env:}", "${optimizer.nothing}",
                        "${backend}", "${.x}", "${oc.decode:'['}", "$"))  # fmt: skip
    if value in ("${backend}", "${now:}", "$") and key not in ("epochs", "seed"):
        key = "epochs"
    return [f"{key}={value}"]


def deletion(rng: random.Random) -> list[str]:
    return [rng.choice((
        "~epochs", "~backend", "~backend.name", "~nothing", "~epochs=100", "~epochs=5", "~loss",
        "~optimizer.momentum", "~data=mnist_5k", "~data=nothing", "~", "~=", "~results", "~arch",
        "~tracking.uri", "~keep", "~hydra", "~nothing.here=1",
    ))]  # fmt: skip


def addition(rng: random.Random) -> list[str]:
    return [rng.choice((
        "+epochs=3", "+seed=1", "+backend=torch", "+new=1", "++new=1", "+optimizer.lr=1", "++x.y=1",
        "+optimizer.new=1", "++optimizer.new=1", "+", "++", "+=", "+loss=bce", "+data.new=x",
        "+new@x=1", "+backend.name=x", "+++epochs=3", "+arch=mlp", "+experiment=nothing",
        "+nothing/x=1", "++epochs=x", "++backend=nothing", "+results.x=1", "+keep.best=true",
    ))]  # fmt: skip


def dots(rng: random.Random) -> list[str]:
    return [rng.choice((
        "optimizer.momentum.x=3", "epochs.x=1", "..epochs=3", "epochs.=3", ".epochs=3",
        "backend..name=x", "backend.name.x=1", "keep.weights.x=1", "keep..weights=best", ".=1",
        "arch.hidden.7=3", "optimizer.=1", "a.b.c.d=1", "loss.mse.over_batch=sum",
        "optimizer.sgd.momentum=1", "hydra.x=1", "hydra.job.x=1", "hydra/launcher=joblib",
        "hydra/nothing=1", "backend/numpy=1", "arch/mlp=3", "/backend=numpy", "nothing/x=1",
        "optimizer[momentum]=1", "schedule.rates[0]=1", "early_stopping.x.y=1", "data.path=x",
    ))]  # fmt: skip


def flags(rng: random.Random) -> list[str]:
    return [rng.choice((
        "--plann", "--mutirun", "-x", "--nothing", "--cfg", "--cfg=", "--cfg=nothing", "--Plan",
        "--fresh=1", "--plan=true", "--epochs=3", "--epochs", "-e", "--batch-size=3", "---plan",
        "--info=nothing", "--config-name=nothing", "-cn=x", "--config-dir=", "--config-dir=nothing",
        "--config-path=nothing", "--experimental-rerun=foo", "--experimental-rerun", "-sc",
        "-sc=nothing", "--shell-completion", "--package=nothing", "--package", "--config-dir",
        "--config-name", "-cp", "--results", "--results=", "--version=3", "-mm", "--resolve=1",
        "--no-plan", "--resolve", "-", "--", "--run=x", "-h=3", "--help=x", "-m=1",
    ))]  # fmt: skip


def two_words(rng: random.Random) -> list[str]:
    return rng.choice((
        ["-m", "--cfg=job"], ["--cfg", "job", "--multirun"], ["--info", "--cfg=all"], ["-r", "-m"],
        ["-m", "--multirun", "--info=all"], ["--hydra-help", "-m"],
        ["--experimental-rerun", "foo"], ["-sc", "query=bash"], ["-sc", "install=nothing"],
        ["--cfg", "nothing"], ["--config-dir", "nothing"], ["--config-name", "nothing"],
        ["results=a", "results=b"], ["--results=a", "results=b"], ["schedule=cosine",
        "schedule.warmup=3"], ["optimizer=adam", "optimizer.beta_1=0.5"], ["init=he",
        "init.scale=1"], ["init=native"], ["task=regression"], ["arch.output_activation=tanh"],
        ["keep.weights=best"], ["backend=numpy_reference", "backend.execution=jit"],
        ["optimizer.lr=0.1"], ["lr=0.1"], ["model=mlp"], ["case=foo"], ["case=a/b"],
        ["experiment=nothing"], ["experiment=create_nn_from_numpy/nothing"], ["experiment=null,x"],
        ["experiment=create_nn_from_numpy"], ["loss.mistake=nothing"], ["arch=layers"],
        ["arch=layers", "arch.layers=[nothing]"], ["arch=layers", "arch.layers=5"], ["arch=layers",
        "arch.layers=[{name: dense}]"], ["arch=layers", "arch.layers=[{units: 3}]"],
        ["data=csv"], ["data=npz"], ["init=from_run"], ["device=gpu"], ["device=cuda:0"],
        ["launcher.n_jobs=2"], ["launcher=parallel", "launcher.n_jobs=0"], ["data.outputs=1"],
        ["launcher=slurm", "launcher.parameters=5"], ["data.samples=1"], ["epochs", "=", "3"],
        ["epochs=", "3"], ["-m", "batch_size"], ["--cfg", "job", "epochs=x"],
        ["semantics=nativ"], ["schedule.starts=[0]"], ["name=x", "nmae=y"],
    ))  # fmt: skip


def sweeps(rng: random.Random) -> list[str]:
    return ["-m", *rng.choice((
        ["backend=numpy,jax"], ["epochs=1,abc"], ["seed=range(3"], ["seed=range(0,0)"],
        ["backend=[numpy,torch]"], ["experiment=glob(nothing*)"], ["seed=interval(0,1)"],
        ["schedule=constant", "schedule.lr=interval(0.1,1)"], ["seed="], ["seed=1,,2"],
        ["batch_size=1,0"], ["tracking=local,mlflow"], ["results=a,b"], ["nothing=1,2"],
        ["seed=choice()"], ["seed=range(a,b)"], ["seed=[1,2]"], ["epochs=1;2"], ["seed=shuffle(x"],
        ["search.trials=3"], ["search.trials=0", "init.scale=interval(0.1,1)"],
        ["search.trials=2", "init.scale=interval(1,0)"], ["search.trials=2",
        "nothing=interval(0,1)"], ["search.trials=x"], ["order=alphabetical"], ["case=a,b"],
        ["search.trials=2", "init.scale=interval(a,b)"], ["seed=range(1,10,0)"], ["seed=tag(x)"],
        ["seed=sort(1,2"], ["seed=0,1", "epochs=1,-1"], ["on_error=stop,continue", "seed=x"],
    ))]  # fmt: skip


RUNS: tuple[Make, ...] = (
    wrong_key, wrong_inner_key, wrong_group, wrong_option, no_option, several_options, not_a_number,
    not_whole, out_of_range, no_switch, no_choice, null, no_text, foreign, quotes, brackets, signs,
    commas, interpolation, deletion, addition, dots, flags, two_words, sweeps,
)  # fmt: skip


def wrong_runs(count: int, seed: int) -> list[list[str]]:
    """Return `count` command lines of runs, each wrong in one place, every kind as often."""
    rng = random.Random(seed)
    found = []
    for i in range(count):
        wrong = RUNS[i % len(RUNS)](rng)
        small = [] if wrong[0] in ("-m",) else [*SMALL, "epochs=1"][: rng.randrange(6)]
        if any(w.startswith(("data", "init", "~data", "device")) for w in wrong):
            small = [w for w in small if not w.startswith("data")]
        keys = {each.partition("=")[0].strip() for each in wrong}  # which the last word would set
        small = [w for w in small if w.partition("=")[0] not in keys]
        if wrong[0] == "-m":
            found.append(["-m", *SMALL[:1], *wrong[1:]])
        elif wrong[0].startswith("-"):
            found.append([*small, *wrong])
        else:
            found.append([*small, *wrong] if rng.random() < 0.5 else [*wrong, *small])
    return found


# Of each command: arguments that are wrong, RUN standing for a run's name.
WRONG_ARGUMENTS: dict[str, tuple[list[str], ...]] = {
    "ui": (["x"], ["--port", "0"], ["--port", "x"], ["--port", "70000"], ["--nothing"], ["--port"],
           ["results=nothing"], ["--browser=x"]),
    "ls": (["--last", "-3"], ["--last", "x"], ["--last"], ["--status", "done"], ["--status"],
           ["--lst", "3"], ["-x"], ["results=a", "results=b"], ["backned=torch"], ["seed=0,1"],
           ["epochs=x=3"], ["optimizer.momentun=0"], ["=3"], ["@last", "--nothing"],
           ["backend=tensorflow"]),
    "show": ([], ["nothing"], ["@last2"], ["@99"], ["@0"], ["@-1"], ["@"], ["RUN", "RUN"], [""],
             ["numpy"], ["RUN", "--nothing"], ["numppy one"], ["@lats"],
             ["results=nowhere", "RUN"]),
    "rm": ([], ["nothing"], ["nothing", "--yes"], ["@99", "--yes"], ["RUN", "nothing", "--yes"],
           ["RUN", "--yess"], ["numpy", "--yes"], ["--yes"], ["@x", "--yes"], ["", "--yes"]),
    "sync": (["nothing"], ["@99"], ["--uri"], ["--al"], ["RUN", "--uri", "nonsense"],
             ["--uri", "sqlite:////nope/x.db"], ["RUN", "--uri", "ftp://x/y"], ["numpy"]),
    "report": (["backned=torch"], ["seed=0,1"], ["nothing"], ["--fail-if", "x"], ["--fail-if", ""],
               ["--fail-if", "numpy.tme > 1"], ["--fail-if", "torch.time >"], ["--sweep", "x"],
               ["--baseline", "nothing"], ["--experiment", "x"], ["--uri", "nonsense"],
               ["--uri", "sqlite:////nope/x.db"], ["--pgn"], ["batch_size=x"], ["--runs", "a=b=c"],
               ["--fail-if", "1 > 2 >"], ["--fail-if", "numpi.time > 1"], ["results=nowhere"],
               ["--fail-if", "numpy.time"], ["@99"], ["backend=tensorflow"], ["--title"],
               ["--fail-if", "numpy.time.lo > 1"], ["--fail-if", "numpy.parameters.low > 1"],
               ["--fail-if", "'numpy against torch'.time_ratio.low > 1"], ["--json"],
               ["--json", "-", "--junit", "-"], ["--junit", "nowhere/x.xml"], ["--summary", "."],
               ["--summary", ""]),
    "study": (["nothing"], ["epochs=3"], ["create_nn_from_numpi"], ["--nothing"],
              ["create_nn_from_numpy", "epochs=x"], ["create_nn_from_numpy", "epohcs=3"],
              ["create_nn_from_numpy", "epochs"]),
    "claims": (["nothing"], ["--seeds", "0"], ["--seeds", "x"], ["--seeds", "-1"], ["--seeds"],
               ["create_nn_from_numpy", "--out", "x.txt"], ["--nothing"],
               ["create_nn_from_numpy", "epochs=x"], ["nva", "--recorded"],
               ["create_nn_from_numpy", "--out", "nowhere/x.html"]),
    "explain": ([], ["RUN"], ["RUN", "nothing"], ["nothing", "RUN"], ["RUN", "RUN", "epochs=1"],
                ["loss=bce", "loss=nothing"], ["los=bce", "loss=mse"], ["@1", "@99"],
                ["loss=bce", "loss=mse", "--seeds", "0"], ["seed=1", "seed=2", "seed=0,x"],
                ["loss=bce", "loss=mse", "--out"],
                ["loss=bce epochs='", "loss=mse"], ["loss=bce", "loss=mse", "epohcs=1"]),
    "arch": (["arch=nothing"], ["epohcs=1"], ["x"], ["--nothing"], ["arch=layers"], ["data=csv"],
             ["arch=lenet5", "data=synthetic"], ["epochs=1,2"]),
    "parity": (["backend=numpy"], ["backend=numpy,jax"], ["backend=numpy,numpy"], ["epochs=x"],
               ["x"], ["--nothing"], ["semantics=native", "backend=numpy,numpy_reference"],
               ["backend=numpy,"], ["bakend=numpy,numpy_reference"], ["backend="], ["@99"]),
    "trace": (["--step", "0"], ["--step", "x"], ["--step"], ["epohcs=1"], ["x"], ["--nothing"],
              ["backend=jax"], ["--out", "nowhere/x.npz", "backend=numpy"], ["@99"],
              ["--step", "999999999", *SMALL, "epochs=1"]),
    "profile": (["--top", "0"], ["--plot", "x.txt"], ["--top", "x"], ["epohcs=1"], ["--nothing"],
                ["backend=jax"], ["x"], ["--plot"]),
    "ops": (["--size", "0"], ["--rounds", "0"], ["--size", "x"], ["backend=jax"], ["--nothing"],
            ["x"], ["--size"], ["bakend=numpy"], ["backend=numpy", "--out", "nowhere/x.json"]),
    "export": ([], ["RUN"], ["RUN", "--format", "onnx"], ["nothing", "--format", "torch"],
               ["RUN", "--format"], ["@99", "--format", "torch"], ["--format", "torch"],
               ["RUN", "--format", "torch", "--out", "x.txt"],
               ["RUN", "--format", "torch", "--out", "nowhere/x.pt"]),
    "check": (["backend=nothing"], ["x"], ["--nothing"], ["dtype=x"], ["bakend=numpy"],
              ["backend=numpy,torch"], ["backend=[numpy]"]),
    "data": ([], ["lst"], ["fetch"], ["fetch", "nothing"], ["list", "x"], ["fetch", "mnst"],
             ["--nothing"], ["list", "results=x"], ["fetch", "mnist", "x"]),
    "completion": ([], ["tcsh"], ["bash", "x"], ["--nothing"], ["results=x", "bash"]),
    "new": ([], ["backend"], ["model", "x"], ["arch", "mlp"], ["arch", "My Net"],
            ["backend", "json"],
            ["study", "create_nn_from_numpy"], ["arch", "x", "--too", "y"]),
    "diagnose": ([], ["nowhere.py:build"], ["nowhere.py:build", "backend=numpy"], ["--nothing"],
                 ["nowhere.py", "nowhere.py:build"],
                 ["backend=numpy", "backend=torch"], ["RUN", "backend=numpy"], ["--write"]),
    "import": ([], ["nowhere.py:build"], ["nowhere.py:build", "--as", "x"], ["--as"],
               ["nowhere.py:build", "--as", "My Net"], ["nowhere.py", "--as", "x"], ["--nothing"]),
    "doctor": (["x"], ["--nothing"], ["--results"], ["results=a", "results=b"]),
}  # fmt: skip


def wrong_commands(count: int, seed: int, run: str) -> list[list[str]]:
    """Return `count` sub-commands with wrong arguments, over all of them; `run` is a run's name."""
    rng = random.Random(seed)
    every = [
        [name, *(run if word == "RUN" else word for word in words)]
        for name, cases in WRONG_ARGUMENTS.items()
        for words in cases
    ]
    names = list(COMMANDS)
    every += [[typo(name, rng) + "x"] for name in names]
    rng.shuffle(every)
    return every[:count]
