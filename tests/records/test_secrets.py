"""Passwords and tokens are in no byte that is written, printed or uploaded."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest

from nnbench.credentials import hidden, hidden_in, notice, remember, shown, usable, without_stores
from nnbench.errors import NNBenchError
from nnbench.records.folder import read_runs
from support.commands import TINY, Nnbench, fresh
from support.planted import hits
from support.records import CONFIG, make_run

SECRET, TOKEN, LAST = "hunt3r-S3cret", "tok-77f0aa1b", "p@ss/w0rd!"
RUN = [word for word in TINY if not word.startswith("tracking")]
NOWHERE = "127.0.0.1:9"  # where nobody listens


@pytest.mark.parametrize(
    ("uri", "kept"),
    [
        (f"http://bob:{SECRET}@{NOWHERE}", f"http://{NOWHERE}"),
        (f"https://{TOKEN}@host.example/x", "https://host.example/x"),
        (f"postgresql://alice:{LAST}@db:5432/m", "postgresql://db:5432/m"),
        (f"mysql+pymysql://a:{LAST}@db/m?charset=utf8", "mysql+pymysql://db/m?charset=utf8"),
        (f"http://h/x?password={SECRET}&a=1", "http://h/x?a=1"),
        (f"http://h/x?a=1&api_key={TOKEN}#y", "http://h/x?a=1#y"),
        (f"http://h/x?access_token={TOKEN}", "http://h/x"),
        (f"postgresql://h/m?user=alice&password={SECRET}", "postgresql://h/m"),
        (f"http://bob:{SECRET} with space@h/x", "http://h/x"),
        (f"bob:{SECRET}@host:5000", "host:5000"),
        (f"host:5000?password={SECRET}", "host:5000"),
        ("postgresql://alice@db/m", "postgresql://alice@db/m"),
        ("sqlite:////home/a@b/mlflow.db", "sqlite:////home/a@b/mlflow.db"),
        ("file:///home/a:b@c/x", "file:///home/a:b@c/x"),
        ("http://localhost:5000", "http://localhost:5000"),
        ("databricks://profile", "databricks://profile"),
    ],
)
def test_what_is_kept_of_a_uri(uri: str, kept: str) -> None:
    assert remember(uri) == kept
    assert remember(kept) == kept
    assert usable(kept) == uri
    for secret in (SECRET, TOKEN, LAST):
        assert secret not in hidden(f"Cannot read {uri}: refused ('{uri}')")
    assert str(NNBenchError(f"at {uri}.")) == hidden(f"at {uri}.")


def test_other_text_stays_as_it_is() -> None:
    for text in (
        "pip install git+https://github.com/a/b@v1", "parity pass: torch against numpy",
        "Received key=5; must be 3", "see https://docs.example.com/a?b=c&d=e", "a@b.com",
    ):  # fmt: skip
        assert hidden(text) == text
    assert hidden_in({"a": [1, "http://x:y@z/", None]}) == {"a": [1, "http://z/", None]}


def test_what_others_say_of_a_password() -> None:
    assert SECRET not in hidden(f'Authorization: Basic {SECRET} and {{"password": "{SECRET}"}}')
    assert SECRET not in hidden(f"connection failed: host=x password={SECRET} port=1")
    remember(f"http://bob:{SECRET}@h")
    assert hidden(f"FATAL: {SECRET} is wrong") == "FATAL: *** is wrong"


PASSWORDS = (
    SECRET, LAST, "pa ss'w\"d77", "p%40ss%2Fx99", "pässwörd€1", "a:b@c:d?e=f&g", "tok;en,77)",
    "$ecret{x}[y]", "back\\slash9", "<ab|cd`ef>", "pw.", "s.com/abc@d99", "ends/in/@",
)  # fmt: skip
PLACES = (  # where a URI has the password, {p} as it is, {q} quoted
    "http://bob:{p}@h:1", "HTTP://bob:{p}@h", "  http://bob:{p}@h ", "http://bob:{q}@h",
    "http:/bob:{p}@h", "//bob:{p}@h", "bob:{p}@h:5000", "@bob:{p}@h", "http//bob:{p}@h",
    "http:bob:{p}@h", "http:///bob:{p}@h", "5http://bob:{p}@h", "http:\\\\bob:{p}@h",
    "http://bob:{p}@[::1]:5", "http://bob:{p}@h?x=1", "ftp://bob:{p}@h//x", "s3://k:{p}@b/x",
    "postgresql://a:{p}@db:5/m", "postgresql+psycopg://a:{p}@/m?host=/tmp",
    "postgresql://a:{p}@h1,h2:5/m", "postgresql://h/m?user=alice&password={q}",
    "postgresql://h/m?sslpassword={q}&x=1", "postgresql://h/m?sslmode=require&passw%6Frd={q}",
    "jdbc:postgresql://h/m?password={q}", "jdbc:postgresql://u:{p}@h/m",
    "mysql+pymysql://a:{p}@db/m", "sqlite:////x/y.db?password={q}",
    "sqlite+pysqlcipher://:{p}@//x/y.db?cipher=aes", "file://bob:{p}@h/x",
    "mssql+pyodbc:///?odbc_connect=Driver%3D%7BODBC%7D%3BUid%3Dsa%3BPwd%3D{q}",
    "http://h/?Authorization={q}", "http://h/?sig={q}", "http://h/?x=1;pwd={q}",
    "http://h/#token={q}", "http://h/x?auth_token={q}&b", "http://h?apiKey={q}",
)  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_no_way_of_telling_a_password_is_missed(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept, shown, in others' messages: as it is, quoted, in JSON, a program's text and base64."""
    for password in PASSWORDS:
        monkeypatch.setattr("nnbench.credentials._typed", {})
        monkeypatch.setattr("nnbench.credentials._known", set())
        uri = place.format(p=password, q=quote(password, safe=""))
        told = [remember(uri), shown(f"tracking.uri='{uri}'"), shown(f"++tracking.uri='{uri}'"),
                shown(f"tracking={{uri: '{uri}'}}"), str(hidden_in([{"a": uri}])),
                hidden(f"(psycopg.OperationalError) connection to {uri} failed"),
                hidden(f"Received {uri!r}; not"), hidden(json.dumps({"a": uri}))]  # fmt: skip
        assert usable(remember(uri)) == uri
        if "odbc" not in place and len(password) > 3:
            told += [hidden(f'FATAL: authentication failed for "{password}"')]
        if place.startswith("http://bob:{p}@") and len(password) > 3:
            sent = base64.b64encode(f"bob:{password}".encode()).decode()
            told += [hidden(f"sent Basic {sent}"), hidden(f"sent <{sent}>")]
        for text in told:
            assert not hits({"it": password}, {place: text.encode()})


def test_variables_are_hidden_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_PASSWORD", "PGPASSWORD", "MY_TOKEN", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, f"{SECRET}-{name}")
        assert hidden(f"it says {SECRET}-{name}.") == "it says ***."
        monkeypatch.delenv(name)
    monkeypatch.setenv("HTTPS_PROXY", f"http://u:{SECRET}@h")
    assert hidden(f"proxy: {SECRET}") == "proxy: ***"
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    assert hidden("it is false") == "it is false"
    kept = {"PGPASSWORD": "x", "MLFLOW_TRACKING_URI": "y", "HOME": "/z", "PWD": "/z"}
    assert without_stores(kept) == {"HOME": "/z", "PWD": "/z"}


def test_what_is_typed_is_hidden_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnbench.credentials._known", set())
    for word in ("name=torch@home", "numpy@h", "--uri", "seed=1,2", "data.path=/home/me@corp/x"):
        notice(word)
        assert hidden("torch and numpy in /home/me@corp/x") == "torch and numpy in /home/me@corp/x"
    for word in (f"++tracking.uri='http://bob:{SECRET}@h'", f"bob:{SECRET}@h",
                 f"tracking={{uri: 'http://bob:{SECRET}@h'}}"):  # fmt: skip
        monkeypatch.setattr("nnbench.credentials._known", set())
        notice(word)
        assert hidden(f"no: {SECRET}") == "no: ***"


def test_a_database_named_like_its_password_stays_found() -> None:
    uri = "postgresql://postgres:postgres@h/postgres"
    assert remember(uri) == "postgresql://h/postgres"
    assert hidden_in({"uri": uri, "name": "postgres"}) == {"uri": remember(uri), "name": "postgres"}


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check(folder: Path, *done: subprocess.CompletedProcess[str]) -> None:
    """Fail where a secret is in a file, its name, or what was printed."""
    for secret in (SECRET, TOKEN, LAST, "p%40ss"):
        for said in done:
            assert secret not in said.stdout + said.stderr, said.args
        for name, content in everything(folder).items():
            assert secret.encode() not in content, name
            assert secret not in name


@pytest.mark.slow  # a dozen fresh processes
def test_no_byte_of_a_tracked_run_has_one(tmp_path: Path) -> None:
    """Typed, in a sweep, in the environment, in a name, and where MLflow's own errors have it."""
    uri = f"http://bob:{SECRET}@{NOWHERE}"
    env = {"MLFLOW_TRACKING_PASSWORD": TOKEN, "MLFLOW_TRACKING_USERNAME": "bob", "MY_URI": uri}
    typed = [f"tracking.uri='{uri}'"]
    said = [
        fresh(tmp_path, [*RUN, *typed], env),
        fresh(tmp_path, [*RUN, "tracking.uri=${oc.env:MY_URI}", "seed=1", f"name='{uri}'"], env),
        fresh(tmp_path, ["-m", *RUN, *typed, "seed=2,3", "batch_size=0,8"], env),
        fresh(tmp_path, ["-m", *RUN, *typed, "seed=2,3", "--plan"], env),
        fresh(tmp_path, [*RUN, *typed, "--cfg", "job"], env),
        fresh(tmp_path, [*RUN, f"tracking.uri='postgresql://a:{LAST}@{NOWHERE}/x'", "seed=4"], env),
        fresh(tmp_path, [*RUN, f"tracking.uri=5{uri}", "tracking.experiment=5", "tracking=x"], env),
        fresh(tmp_path, ["sync"], env),
        fresh(tmp_path, ["sync", "--uri", f"http://{NOWHERE}/?token={TOKEN}"], env),
        fresh(tmp_path, ["report", "--uri", f"postgresql://a:{LAST}@{NOWHERE}/x"], env),
        fresh(tmp_path, ["ls", uri], env),
        fresh(tmp_path, ["rm", uri], env),
    ]
    assert said[0].returncode == 0, said[0].stderr
    assert "not in MLflow" in said[0].stderr
    check(tmp_path, *said)
    run = read_runs(tmp_path / "results")[0]
    assert run.config["tracking"]["uri"] == f"http://{NOWHERE}"


def test_no_byte_of_a_store_has_one(nnbench: Nnbench, tmp_path: Path) -> None:
    """A store that is there, so that parameters, tags and files are uploaded."""
    pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path / 'store.db'}?password={SECRET}"
    done = nnbench(*RUN, f"tracking.uri='{uri}'", f"name='http://a:{TOKEN}@h'")
    listed = nnbench("show", "http://h")
    assert done.returncode == 0, done.stderr
    check(tmp_path, done, listed)


def test_an_old_record_loses_its_password_when_it_is_written(
    nnbench: Nnbench, tmp_path: Path
) -> None:
    uri = f"http://bob:{SECRET}@{NOWHERE}"
    tracking = {"name": "mlflow", "uri": uri, "experiment": "nnbench"}
    folder = tmp_path / "results" / "runs" / "r1"
    run = make_run(folder, config=CONFIG | {"tracking": tracking}, run_id="r1")
    assert SECRET not in (folder / "run.json").read_text()
    values = json.loads((folder / "run.json").read_text())
    values |= {"schema_version": 3, "config": run.config}
    (folder / "run.json").write_text(json.dumps(values))
    assert SECRET in (folder / "run.json").read_text()
    (folder / "config.yaml").write_text(f"tracking: {{uri: {uri}}}\n")
    said = [nnbench(*words) for words in (["show", "r1"], ["ls"], ["sync"])]
    check(tmp_path, *said)
    assert read_runs(tmp_path / "results")[0].config["tracking"]["uri"] == f"http://{NOWHERE}"
