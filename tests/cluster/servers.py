"""MLflow on PostgreSQL as a group of people has it: real servers, on loopback or on a host of a test's network."""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from network import Host

_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def why_no_postgresql() -> str | None:
    """Return why PostgreSQL cannot be started here, None where it can."""
    if _binary("postgres") is None or _binary("initdb") is None:
        return "PostgreSQL is not installed (apt-get install postgresql)"
    if os.geteuid() == 0 and (shutil.which("setpriv") is None or _account() is None):
        return "PostgreSQL refuses to run as root, and there is no account `postgres` (apt-get install postgresql)"
    return None


class Server:
    """A process group of one command, on loopback or on a host."""

    def __init__(self, folder: Path, host: Host | None, port: int) -> None:
        self.folder, self.host = folder, host
        self.address = "127.0.0.1" if host is None else host.address
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def begin(self, command: Sequence[str], environment: dict[str, str] | None = None) -> None:
        log = self.folder / "server.log"
        if self.host is not None:
            self.process = self.host.start(command, log, environment, cwd=self.folder)
            return
        with log.open("ab") as stream:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **(environment or {})},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End the whole process group."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            self.process.wait(60)
            with contextlib.suppress(ProcessLookupError):  # children that outlived their parent
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process = None

    def log(self) -> str:
        return (self.folder / "server.log").read_text()[-3000:]

    @contextlib.contextmanager
    def reach(self) -> Iterator[None]:
        """Make this thread able to reach the server while the block runs."""
        with contextlib.nullcontext() if self.host is None else self.host.inside():
            yield

    def wait(self, up: Callable[[], bool], seconds: float = 120) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            assert self.process is None or self.process.poll() is None, self.log()
            with self.reach():
                if up():
                    return
            time.sleep(0.2)
        raise AssertionError(self.log())


class Postgres(Server):
    """A PostgreSQL of our own, with a password and its defaults; its folder has to be within reach of its account."""

    def __init__(self, folder: Path, host: Host | None = None, port: int | None = None) -> None:
        super().__init__(folder, host, port or (5432 if host else free_port()))
        password = secrets.token_hex(16)
        self.uri = f"postgresql://mlflow:{password}@{self.address}:{self.port}/postgres"
        (folder / "password").write_text(password)
        self._data = folder / "data"
        self._as_account(folder)
        command = [str(_binary("initdb")), "-D", str(self._data), "-U", "mlflow", "-A", "scram-sha-256"]
        done = subprocess.run(
            [*drop_root(), *command, f"--pwfile={folder / 'password'}"], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        with (self._data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 10.203.0.0/24 scram-sha-256\n")

    def start(self) -> None:
        settings = {"listen_addresses": self.address, "port": self.port, "unix_socket_directories": self.folder}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        self.begin([*drop_root(), str(_binary("postgres")), "-D", str(self._data), *options])
        self.wait(lambda: listens(self.address, self.port), 60)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End it as `systemctl restart` does (fast shutdown), or with SIGKILL as a crash does."""
        super().stop(number)

    def _as_account(self, folder: Path) -> None:
        account = _account()
        if os.geteuid() == 0 and account is not None:
            for path in (folder, folder / "password"):
                os.chown(path, account.pw_uid, account.pw_gid)


class MlflowServer(Server):
    """`mlflow server` before a database, which also keeps the artifacts."""

    def __init__(self, folder: Path, database: str, host: Host | None = None, workers: int = 1) -> None:
        super().__init__(folder, host, 5000 if host else free_port())
        self.uri = f"http://{self.address}:{self.port}"
        self.database, self.workers = database, workers

    def start(self, wait: bool = True) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", self.address, "--port", str(self.port)]
        command += ["--workers", str(self.workers), "--backend-store-uri", self.database]
        command += ["--artifacts-destination", str(self.folder / "artifacts"), "--allowed-hosts", "*"]
        self.begin(command, {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"})
        if wait:
            self.wait(self.healthy)

    def healthy(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
        except (urllib.error.URLError, OSError):
            return False
        return True


def listens(address: str, port: int) -> bool:
    """Return whether something takes connections there."""
    try:
        socket.create_connection((address, port), 2).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _binary(name: str) -> Path | None:
    found = shutil.which(name)
    places = [folder / name for folder in reversed(_BINARIES)]
    return next((path for path in [*places, *([Path(found)] if found else [])] if path.exists()), None)


def _account() -> pwd.struct_passwd | None:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres")
    return None


def drop_root() -> list[str]:
    account = _account()
    if os.geteuid() != 0 or account is None:
        return []
    return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]


class ObjectStore:
    """An S3 server that keeps what it has while it is down: moto on loopback, and before it a door that can be shut."""

    _BEHIND = 5001

    def __init__(self, folder: Path, host: Host) -> None:
        self.server = Server(folder / "moto", host, self._BEHIND)
        self.door = Server(folder / "door", host, 9000)
        self.host, self.uri = host, "s3://bucket/sweep"
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://{host.address}:{self.door.port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def start(self) -> None:
        """Start it, open, with an empty bucket."""
        self.server.begin([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._BEHIND)])
        self.server.wait(lambda: listens("127.0.0.1", self._BEHIND))
        self.open()
        self._call("client.create_bucket(Bucket='bucket')")

    def open(self) -> None:
        script = str(Path(__file__).with_name("forward.py"))
        self.door.begin([sys.executable, script, self.door.address, str(self.door.port), str(self._BEHIND)])
        self.door.wait(lambda: listens(self.door.address, self.door.port))

    def shut(self) -> None:
        """Refuse connections, and break those that there are."""
        self.door.stop()

    def copy_to(self, folder: Path) -> None:
        """Copy the sweep's storage into a local folder."""
        folder.mkdir()
        code = f"from pyarrow import fs; fs.copy_files({self.uri!r}, {str(folder)!r})"
        done = self.host.run([sys.executable, "-c", code], self.environment)
        assert done.returncode == 0, done.stderr

    def _call(self, code: str) -> None:
        code = f"import boto3; client = boto3.client('s3'); {code}"
        done = self.host.run([sys.executable, "-c", code], self.environment)
        assert done.returncode == 0, done.stderr
