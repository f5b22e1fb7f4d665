"""`cluster/mlflow.sh` with a real PostgreSQL; before it a stand-in for MLflow, which only listens."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from servers import drop_root, free_port, listens, why_no_postgresql

SCRIPT = Path(__file__).parents[2] / "cluster" / "mlflow.sh"
MLFLOW = """#!/usr/bin/perl
use IO::Socket::INET;
my %given = @ARGV[1 .. $#ARGV];
print "to $ENV{MLFLOW_BACKEND_STORE_URI} as $$\\n";
my $socket = IO::Socket::INET->new(LocalAddr => $given{"--host"}, LocalPort => $given{"--port"}, Listen => 5)
  or die $@;
$| = 1; print "listening\\n";
sleep 1 while 1;
"""
pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(why_no_postgresql() is not None, reason=str(why_no_postgresql())),
    pytest.mark.skipif(not Path("/usr/bin/perl").exists(), reason="no perl for the stand-in"),
]


class Script:
    """One run of the script by an account that PostgreSQL takes."""

    def __init__(self, room: Path, **environment: str) -> None:
        self.folder = room / ("a long name " * 10)  # longer than a path of a Unix socket may be
        self.ports = {name: str(free_port()) for name in ("PORT", "DATABASE_PORT")}
        path = "/usr/local/bin:/usr/bin:/bin"
        self.process = subprocess.Popen(
            [*drop_root(), "bash", str(room / "mlflow.sh"), str(self.folder)],
            env={"PATH": path, "VENV": str(room / "environment"), **self.ports, **environment},
            cwd=room, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def first_line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline() or self.process.communicate(timeout=60)[1]

    def log(self) -> str:
        return (self.folder / "mlflow.log").read_text()

    def end(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder that PostgreSQL's account reaches, with the script and an environment."""
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="raysweep-"))  # pytest's are closed to that account
    shutil.copy(SCRIPT, folder)
    stand_in = folder / "environment" / "bin" / "mlflow"
    stand_in.parent.mkdir(parents=True)
    stand_in.write_text(MLFLOW)
    stand_in.chmod(0o755)
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def test_the_same_command_goes_on_and_a_server_that_ends_is_told(room: Path) -> None:
    first = Script(room)
    assert first.first_line().startswith(f"MLflow: http://127.0.0.1:{first.ports['PORT']} ")
    assert listens("127.0.0.1", int(first.ports["PORT"]))
    uri = re.findall(r"to (\S+) as", first.log())[-1]
    with psycopg.connect(uri) as database:
        database.execute("create table kept (number int)")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(re.sub(r":\w+@", ":wrong@", uri))
    first.process.send_signal(signal.SIGTERM)
    assert first.end() == (143, "")
    assert not any(listens("127.0.0.1", int(port)) for port in first.ports.values())

    second = Script(room)
    assert second.first_line().startswith("MLflow: ")
    uri, pid = re.findall(r"to (\S+) as (\d+)", second.log())[-1]
    with psycopg.connect(uri) as database:
        assert database.execute("select count(*) from kept").fetchone() == (0,)
    os.kill(int(pid), signal.SIGKILL)
    status, errors = second.end()
    assert status == 1
    assert f"mlflow.sh: MLflow has ended; see {second.folder}/mlflow.log:\n" in errors
    assert "listening" in errors
    assert not any(listens("127.0.0.1", int(port)) for port in second.ports.values())


@pytest.mark.parametrize("name", ["PORT", "DATABASE_PORT"])
def test_a_taken_port_is_named_and_nothing_is_made(room: Path, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        script = Script(room, **{name: str(port)})
        assert script.end() == (
            1, f"mlflow.sh: something listens on port {port} already: give another one as {name}\n"
        )  # fmt: skip
    assert not script.folder.exists()


def test_a_database_that_does_not_start_is_told_at_once(room: Path) -> None:
    script = Script(room)
    assert script.first_line().startswith("MLflow: ")
    begun = time.monotonic()
    other = Script(room)  # the same folder
    status, errors = other.end()
    assert time.monotonic() - begun < 20
    assert status == 1
    assert "mlflow.sh: PostgreSQL has ended; see " in errors
    assert "postmaster.pid" in errors
    script.process.send_signal(signal.SIGTERM)
    assert script.end()[0] == 143


def test_an_environment_without_mlflow_is_named(room: Path) -> None:
    script = Script(room, VENV="elsewhere")
    status, errors = script.end()
    assert status == 1
    assert errors.startswith("mlflow.sh: no mlflow in 'elsewhere/bin': install raysweep[cluster]")
