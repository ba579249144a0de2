"""Passwords planted in every place that takes a URI or a variable are in no byte that comes of it.

Every place has a secret of its own, so that a hit says where it came from.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from nnbench.records.folder import read_runs
from support.commands import PATIENCE, TINY, begin, fresh, here, plug_in
from support.planted import Gateway, basic, everything, forms, hits
from support.servers import Server, postgres_server
from support.tracking import assert_mirrored, client_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400)]
RUN = [word for word in TINY if not word.startswith("tracking")]
NOWHERE = "127.0.0.1:9"  # where nobody listens
ODD = "p@ss/w0rd !#'x"  # to be quoted in a URI, or not


class Planted:
    """A folder that is all the world to the commands run in it, and what they said and wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secrets: dict[str, str] = {}
        self.said: dict[str, bytes] = {}
        self.env = {name: str(folder / name.lower()) for name in ("HOME", "TMPDIR")}
        self.env |= {"NNBENCH_DATA": str(folder / "data"), "XDG_CACHE_HOME": str(folder / "cache")}
        self.env |= dict.fromkeys(("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"), "")
        for name in ("home", "tmpdir"):
            (folder / name).mkdir()

    def secret(self, place: str, text: str = "") -> str:
        """Return a secret for a place, with `text` in it."""
        self.secrets[place] = f"S3c{len(self.secrets):02d}{text}{hash(place) % 10**8:08d}"
        return self.secrets[place]

    def run(
        self, *words: str, env: Mapping[str, str] = {}, code: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = fresh(self.folder, words, self.env | env)
        place = f"output {len(self.said)} of {words[0]} {words[-1].partition('=')[0][:9]}"
        self.said[place] = (done.stdout + done.stderr).encode()
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done

    def inside(self, *words: str, env: Mapping[str, str] = {}) -> None:
        """Run a command in this process, which is made to know nothing of those before."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            for name, value in (self.env | env).items():
                patch.setenv(name, value)
            patch.setattr("nnbench.credentials._typed", {})
            patch.setattr("nnbench.credentials._known", set())
            done = here(words)
        place = f"output {len(self.said)} of {words[0]} {words[-1].partition('=')[0][:9]}"
        self.said[place] = (done.stdout + done.stderr).encode()

    def check(self, gateways: Sequence[Gateway] = (), files: Sequence[Path] = ()) -> None:
        """Fail where a secret is; `files` are what the test itself planted them in."""
        written = dict(self.said)
        for gateway in gateways:
            written |= {f"request {i}": text for i, text in enumerate(gateway.taken)}
        written |= {name: text for name, text in everything(self.folder)
                    if Path(name) not in files}  # fmt: skip
        assert len(written) > len(self.said)
        found = hits(self.secrets, written)
        assert not found, "\n".join(found)


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    (tmp_path / "at").mkdir()
    return Planted(tmp_path / "at")


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    """In all the ways that a secret may be written, in files and in what is packed into them."""
    import base64
    import gzip
    import zipfile

    for form in forms(ODD):
        assert hits({"x": ODD}, {"f": b"before" + form + b"after"})
    for shift in ("", "a", "ab"):
        assert hits({"x": ODD}, {"f": base64.b64encode(f"{shift}{ODD}z".encode())})
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("b", ODD * 9)
    (tmp_path / "c").write_bytes(gzip.compress(ODD.encode()))
    assert {hit.split(" in ")[1].split(": ")[0].rsplit("/")[-1]
            for hit in hits({"x": ODD}, dict(everything(tmp_path)))} >= {"a.npz:b"}  # fmt: skip
    assert not hits({"x": ODD}, {"f": b"nothing"})


@pytest.fixture
def doors(server: Server, planted: Planted) -> Iterator[tuple[Gateway, dict[str, str]]]:
    """A gateway before an MLflow server, that lets in who has one of these passwords."""
    places = ("typed", "variable", "variables", "file", "sync", "report", "quoted")
    passwords = {place: planted.secret(place, ODD if place == "quoted" else "") for place in places}
    token = planted.secret("token")
    wanted = {basic("bob", password) for password in passwords.values()} | {f"Bearer {token}"}
    gateway = Gateway(server.port, wanted)
    yield gateway, passwords | {"token": token}
    gateway.close()


def test_a_server_with_passwords(
    server: Server, doors: tuple[Gateway, dict[str, str]], planted: Planted
) -> None:
    """Everywhere that takes a URI or a variable; the runs arrive, and their passwords do not."""
    gateway, passwords = doors
    uri = {place: f"http://bob:{quote(password, safe='')}@{gateway.host}"
           for place, password in passwords.items()}  # fmt: skip
    bare = f"tracking.uri=http://{gateway.host}"
    conf = planted.folder / "conf" / "tracking"
    conf.mkdir(parents=True)
    mine = conf / "mine.yaml"
    mine.write_text(f"name: mlflow\nuri: {uri['file']}\nexperiment: nnbench\n")
    user = {"MLFLOW_TRACKING_USERNAME": "bob", "MLFLOW_TRACKING_PASSWORD": passwords["variables"]}
    proxy = planted.secret("proxy")
    way = Gateway(0, set(), basic("carl", proxy))
    through = {"http_proxy": f"http://carl:{proxy}@{way.host}"}
    run = planted.run
    run(*RUN, f"tracking.uri='{uri['typed']}'", code=0)
    run("-m", *RUN, f"tracking.uri='{uri['quoted']}'", "seed=1,2", code=0)
    run(*RUN, "tracking.uri=${oc.env:MINE}", "seed=3", env={"MINE": uri["variable"]}, code=0)
    run(*RUN, bare, "seed=4", env={"MLFLOW_TRACKING_URI": uri["variable"]}, code=0)
    run(*RUN, bare, "seed=5", env=user, code=0)
    run(*RUN, bare, "seed=6", env={"MLFLOW_TRACKING_TOKEN": passwords["token"]}, code=0)
    run("--config-dir", "conf", *RUN, "tracking=mine", "seed=7", code=0)
    run(*RUN, bare, "seed=8", env=user | through, code=0)
    assert way.passed
    run(*RUN, "tracking=local", "seed=9", code=0)
    run("sync", "--all", "--uri", uri["sync"], code=0)
    run("report", "--uri", uri["report"], "--out", "out", code=0)
    run("report", code=0)
    run("ls", code=0)
    run("show", "seed=3")
    run("doctor", env=user | through | {"MLFLOW_TRACKING_URI": uri["variable"]})
    run("ui", "--uri", uri["typed"])
    run("rm", "--yes", read_runs(planted.folder / "results")[-1].run_id, env=user, code=0)
    assert not any(b"not in MLflow" in said for said in planted.said.values())
    assert_mirrored(client_of(server.uri), read_runs(planted.folder / "results"))
    way.close()
    server.stop()
    stored = planted.folder.parent / "server"
    planted.said |= dict(everything(stored))
    assert any(b"results" in text or b"numpy" in text for text in planted.said.values())
    planted.check([gateway, way], [mine])


def test_what_goes_wrong(planted: Planted) -> None:
    """Refused, mistyped, damaged: errors hold no more than successes, tracebacks neither."""
    word = planted.secret
    echo = Gateway(0, set(), echo=True)
    conf = planted.folder / "conf" / "tracking"
    conf.mkdir(parents=True)
    (conf / "bad.yaml").write_text(f"name: mlflow\nuri: http://bob:{word('bad')}@h: [\n")
    (conf / "odd.yaml").write_text(f"name: mlflow\nurl: http://bob:{word('odd')}@h\n")
    files = [conf / "bad.yaml", conf / "odd.yaml"]
    uris = {
        "plain": f"http://bob:{word('plain')}@{NOWHERE}",
        "odd signs": f"http://bob:{word('odd signs', 'p@/?#:')}@{NOWHERE}",
        "alone": f"https://{word('alone')}@{NOWHERE}",
        "no scheme": f"bob:{word('no scheme')}@{NOWHERE}",
        "half a scheme": f"http:/bob:{word('half a scheme')}@{NOWHERE}",
        "another scheme": f"xyz://bob:{word('another scheme')}@{NOWHERE}",
        "echoed": f"http://bob:{word('echoed')}@{echo.host}",
        "query": f"http://{NOWHERE}/x?token={word('query')}",
        "postgres": f"postgresql://bob:{word('postgres', '@/')}@{NOWHERE}/x",
        "pg query": f"postgresql://{NOWHERE}/x?user=bob&password={word('pg query')}",
        "ssl": f"postgresql://bob@{NOWHERE}/x?sslpassword={word('ssl')}&sslmode=require",
        "coded name": f"postgresql://{NOWHERE}/x?passw%6Frd={word('coded name')}",
        "odbc": f"mssql+pyodbc:///?odbc_connect=Uid%3Dsa%3BPwd%3D{word('odbc')}",
        "mysql": f"mysql+pymysql://bob:{word('mysql')}@{NOWHERE}/x",
        "sqlite": f"sqlite:////nowhere/x.db?password={word('sqlite')}",
        "port": f"http://bob:{word('port')}@127.0.0.1:port",
    }
    env = {f"MY_{i}": uri for i, uri in enumerate(uris.values())}
    env |= {"MLFLOW_TRACKING_PASSWORD": word("variable"), "MLFLOW_TRACKING_USERNAME": "bob",
            "PGPASSWORD": word("pgpassword"), "HTTPS_PROXY": f"http://u:{word('proxy')}@{NOWHERE}",
            "AWS_SECRET_ACCESS_KEY": word("aws")}  # fmt: skip
    run, inside = planted.run, planted.inside
    for seed, (name, uri) in enumerate(uris.items()):
        if name in ("odd signs", "no scheme", "echoed", "postgres", "coded name", "port"):
            run(*RUN, f"tracking.uri='{uri}'", f"seed={seed}", env=env)
        else:
            inside(*RUN, f"tracking.uri='{uri}'", f"seed={seed}", "--plan", env=env)
        inside("report", "--uri", uri, env=env)
        inside("sync", "--uri", uri, env=env)
    uri = uris["plain"]
    two = ",".join(f"'{uris[name]}'" for name in ("query", "mysql"))
    run(*RUN, f"tracking={{name: mlflow, uri: '{uri}'}}", env=env)
    run(*RUN, f"++tracking.uri='{uri}'", f"name='{uri}'", "seed=90", env=env)
    run(*RUN, f"tracking.experiment='{uri}'", "seed=91", "tracking=local", env=env)
    run(*RUN, f"tracking.uri={uri}" + "{", env=env | {"NNBENCH_DEBUG": "1"})
    run("report", "--uri", uri, env=env | {"HYDRA_FULL_ERROR": "1"})
    inside("-m", *RUN, f"tracking.uri={two}", "--plan", env=env)
    inside("-m", *RUN, f"tracking.uri='{uri}'", "seed=2,3", "batch_size=0,8", "--plan", env=env)
    inside(*RUN, f"tracking.uri='{uri}'", "--cfg", "job", env=env)
    inside(*RUN, f"tracking.uri=5{uri}", "tracking.experiment=5", "tracking=x", env=env)
    inside(*RUN, f"tracking.url='{uri}'", env=env)
    inside(*RUN, f"tracking.password={word('a setting')}", env=env)
    inside(*RUN, f"tracking.uri={uri}" + "[", env=env)
    inside(*RUN, "data=csv", f"data.path='{uri}'", env=env)
    inside(*RUN, f"results='{uri}/x'", "--plan", env=env)
    inside("--config-dir", "conf", *RUN, "tracking=bad", env=env)
    inside("--config-dir", "conf", *RUN, "tracking=odd", env=env)
    inside("--config-dir", uri, *RUN, env=env)
    inside("sync", env=env)
    inside("sync", "--uri", uri, uri, env=env)
    inside("sync", "--all", "--uri", uris["echoed"], env=env)
    for command in ("ls", "rm", "show", "report", "ui", "export", "explain", "data", uri):
        inside(command, uri, env=env)
    inside("doctor", env=env)
    assert echo.refused
    echo.close()
    planted.check([echo], files)


def test_a_backend_that_tells_all_it_knows(planted: Planted, server: Server) -> None:
    """Its log is uploaded: it is not given what only those need who connect to the server."""
    code = "import os, sys\nprint(dict(os.environ), file=sys.stderr)\nclass Teller:\n"
    code += "    def __init__(self, *a, **k):\n        raise RuntimeError(str(dict(os.environ)))\n"
    flag = plug_in(planted.folder, "teller", code)
    env = {"MLFLOW_TRACKING_PASSWORD": planted.secret("password"), "PYTHONPATH":
           f"{planted.folder}:{os.environ.get('PYTHONPATH', '')}",
           "MLFLOW_TRACKING_USERNAME": "bob", "PGPASSWORD": planted.secret("pg"),
           "MLFLOW_TRACKING_URI": f"http://b:{planted.secret('uri')}@{NOWHERE}"}  # fmt: skip
    words = [word for word in RUN if not word.startswith("backend")]
    done = planted.run(*flag, *words, "backend=teller", f"tracking.uri={server.uri}", env=env)
    assert done.returncode == 1
    planted.check()


def test_postgresql_with_passwords(planted: Planted) -> None:
    """In the URI, in its query, in variables and in ~/.pgpass; the whole database is searched."""
    password = planted.secret("password", "@/:")
    quoted = quote(password, safe="")
    with postgres_server(password) as uri:
        place = uri.partition("@")[2]
        run = planted.run
        run(*RUN, f"tracking.uri='postgresql://nnbench:{quoted}@{place}'", code=0)
        asked = f"postgresql://{place}?user=nnbench&password={quoted}"
        run(*RUN, f"tracking.uri='{asked}'", "seed=1", code=0)
        run(*RUN, f"tracking.uri='{uri}'", "seed=2", env={"PGPASSWORD": password}, code=0)
        entry = planted.folder / "home" / ".pgpass"
        entry.write_text(f"127.0.0.1:*:*:nnbench:{password.replace(':', chr(92) + ':')}\n")
        entry.chmod(0o600)
        run(*RUN, f"tracking.uri='{uri}'", "seed=3", code=0)
        entry.unlink()
        run(*RUN, "tracking=local", "seed=4", code=0)
        whole = f"postgresql://nnbench:{quoted}@{place}"
        run("sync", "--all", "--uri", whole, code=0)
        run("report", "--uri", whole, code=0)
        wrong = planted.secret("wrong")
        run(*RUN, f"tracking.uri='postgresql://nnbench:{wrong}@{place}'", "seed=5")
        run("report", "--uri", f"postgresql://nnbench:{wrong}@{place}")
        assert_mirrored(client_of(whole), [r for r in read_runs(planted.folder / "results")
                                           if r.config["seed"] != 5])  # fmt: skip
        planted.said["database"] = dumped(whole)
    assert b"nnbench.run_id" in planted.said["database"]
    planted.check()


def dumped(uri: str) -> bytes:
    """Return all rows of all tables."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        names = sqlalchemy.inspect(engine).get_table_names()
        rows: list[Any] = []
        for name in names:
            rows += connection.execute(sqlalchemy.text(f'SELECT * FROM "{name}"')).all()
    engine.dispose()
    return "\n".join(map(str, rows)).encode()


@pytest.mark.parametrize("scheme", ["ftp", "sftp", "s3", "hdfs", "postgresql"])
def test_an_artifact_location_with_a_password(planted: Planted, scheme: str) -> None:
    """As somebody made the experiment: the upload fails, and what the driver says is not told."""
    store = f"sqlite:///{planted.folder.parent / 'store.db'}"
    where = f"{scheme}://bob:{planted.secret('location')}@{NOWHERE}/x"
    client_of(store).create_experiment("nnbench", where)
    done = planted.run(*RUN, f"tracking.uri={store}", code=0)
    assert "did not take" in done.stderr
    planted.run("sync", code=1)
    planted.run("report", "--uri", store)
    planted.check()


def test_the_interface_and_an_end_by_signal(planted: Planted) -> None:
    """`ui` with everything in its environment, and a run that is stopped."""
    uri = f"http://bob:{planted.secret('uri')}@{NOWHERE}"
    env = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_TRACKING_PASSWORD": planted.secret("password"),
           "HTTP_PROXY": f"http://u:{planted.secret('proxy')}@{NOWHERE}"}  # fmt: skip
    planted.run(*RUN, env=env, code=0)
    stopped = begin(planted.folder, [*RUN, f"tracking.uri='{uri}'", "epochs=100000"],
                    planted.env | env)  # fmt: skip
    while not any(r.config["epochs"] > 9 for r in read_runs(planted.folder / "results")):
        assert stopped.poll() is None
        time.sleep(0.2)
    os.kill(stopped.pid, signal.SIGTERM)
    planted.said["stopped"] = "".join(stopped.communicate(timeout=PATIENCE)).encode()
    shown = begin(planted.folder, ["ui", "--no-browser"], planted.env | env)
    assert shown.stdout is not None
    first = ""
    while "Ctrl-C" not in first:
        line = shown.stdout.readline()
        assert line
        first += line
    os.kill(shown.pid, signal.SIGINT)
    planted.said["ui"] = (first + "".join(shown.communicate(timeout=PATIENCE))).encode()
    planted.check()


def test_a_cell_that_is_sent_to_a_cluster() -> None:
    """What submitit writes for a job: pickled cells."""
    import pickle

    from nnbench.config.composition import compose

    cell = compose([*RUN, "tracking.uri='http://bob:hunt3r-S3cret@h'"])
    assert cell.config.tracking.uri == "http://h"
    assert not hits({"cell": "hunt3r-S3cret"}, {"pickle": pickle.dumps(cell)})
