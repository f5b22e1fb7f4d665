"""What a Ray of the tests runs to start a worker: has it forked from a process that has imported all that it needs.

Ray starts it in place of its own `setup_worker.py` (see `fork_workers`). The worker registers with its own process id,
so this process ends once there is one. A worker that asks for more, a command to run it in say, starts as Ray has it.
"""

import json
import os
import socket
import sys
from typing import NoReturn

SOCKET = "RAYSWEEP_TESTS_FORKS"
"""Variable of the environment with the path of the server's socket."""
_CONTEXT = "--serialized-runtime-env-context="
_BEYOND = ("command_prefix", "override_worker_entrypoint")
_HERE = (None, sys.executable)


def start_as_ray_does() -> NoReturn:
    """Become Ray's own process that sets up a worker."""
    import ray

    original = os.path.join(os.path.dirname(ray.__file__), "_private", "workers", "setup_worker.py")
    os.execv(sys.executable, [sys.executable, original, *sys.argv[1:]])


def fork_workers(server: str) -> None:
    """Have the workers of a Ray that this process starts forked by the server at a socket."""
    from ray._private import ray_constants

    os.environ[SOCKET] = server
    ray_constants.SETUP_WORKER_FILENAME = os.path.abspath(__file__)  # as joined to Ray's own folder: this file


def main() -> None:
    """Have the worker of the command line forked, with the variables of its runtime environment."""
    context = next((word.removeprefix(_CONTEXT) for word in sys.argv if word.startswith(_CONTEXT)), None)
    command = [word for word in sys.argv[1:] if not word.startswith((_CONTEXT, "--language="))]
    asked = json.loads(context or "{}")
    if context is None or any(asked.get(name) for name in _BEYOND) or asked.get("py_executable") not in _HERE:
        start_as_ray_does()
    environment = {**os.environ, **{name: os.path.expandvars(text) for name, text in asked["env_vars"].items()}}
    request = {"command": command, "folder": os.getcwd(), "environment": environment, "terminal": ""}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ[SOCKET])
        socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
        connection.recv(64)  # the process id: it has been forked


if __name__ == "__main__":
    main()
