"""Private parts of other packages are used in one file each, and a release that changes one is told by its name."""

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

import raysweep
from tests.drivers import fixed_variables

PACKAGE = Path(raysweep.__file__).parent
HOMES = {
    r"ray\._(private|raylet)|ray\.\w+\._internal": "sweep/cluster/ray/internals.py",
    r"ray\.dashboard|_do_request|client\._address": "jobs/client.py",
    r"mlflow\.(utils|store)\b": "tracking/internals.py",
    r"optuna(\.\w+)*\._": None,
    r"typer\.(core|main|_\w+)\b|(from|import) click": "cli/app.py",
}
"""Patterns of private names, and the only file that may have them."""

PARTS = {
    "ray._private.worker:_global_node": None,
    "ray._private.worker:global_worker": None,
    "ray._private.node:Node.get_session_dir_path": ("self",),
    "ray._private.node:Node.get_logs_dir_path": ("self",),
    "ray._private.state:available_resources_per_node": (),
    "ray._private.authentication.authentication_utils:is_token_auth_enabled": (),
    "ray.air._internal.usage:tag_callbacks": ("callbacks",),
    "ray._private.ray_constants:SETUP_WORKER_FILENAME": None,
    "ray._raylet:Config.initialize": None,
    "ray._raylet:InnerGcsClient.get_all_node_info": ("self", "timeout"),
    "ray._raylet:InnerGcsClient.internal_kv_get": ("self", "key", "namespace", "timeout"),
    "ray.job_submission:JobSubmissionClient._do_request": ("self", "method", "endpoint", "data", "json_data", "kwargs"),
    "mlflow.utils.credentials:get_default_host_creds": ("store_uri",),
    "mlflow.utils.rest_utils:http_request": (
        "host_creds", "endpoint", "method", "max_retries", "extra_headers", "timeout", "raise_on_status", "kwargs",
    ),
    "mlflow.utils.rest_utils:verify_rest_response": ("response", "endpoint"),
    "mlflow.store.db.utils:_initialize_tables": ("engine",),
    "mlflow.store.db.utils:_get_schema_version": ("engine",),
    "mlflow.store.db.utils:_get_latest_schema_revision": (),
    "typer.core:TyperGroup.invoke": ("self", "ctx"),
}  # fmt: skip
"""Private parts, and the parameters that we give them."""


@pytest.mark.parametrize("pattern", HOMES)
def test_a_private_part_is_used_in_one_file(pattern: str) -> None:
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for line in path.read_text().splitlines()
        if re.search(pattern, line)
    }
    assert found == ({HOMES[pattern]} - {None}), f"keep {pattern} in {HOMES[pattern]}"


@pytest.mark.parametrize("part", PARTS)
def test_a_private_part_is_still_there(part: str) -> None:
    module, _, path = part.partition(":")
    found = import_module(module)
    for name in path.split("."):
        assert hasattr(found, name), f"{part} is gone: see the file that uses it, by HOMES"
        found = getattr(found, name)
    wanted = PARTS[part]
    if wanted is not None:
        names = list(inspect.signature(found).parameters)
        assert set(wanted) <= set(names), f"{part} takes {names}, and we give {wanted}"


def test_the_values_in_rays_private_parts_are_those_that_we_read() -> None:
    from ray._private.services import ProcessInfo
    from ray.core.generated.gcs_pb2 import GcsNodeInfo

    from raysweep.sweep.cluster.ray.internals import ALIVE, NodeInfo

    assert "process" in ProcessInfo._fields, "ray._private.services.ProcessInfo.process is gone"
    assert GcsNodeInfo.GcsNodeState.ALIVE == ALIVE
    missing = set(NodeInfo.__annotations__) - set(GcsNodeInfo.DESCRIPTOR.fields_by_name)
    assert not missing, f"Ray's GcsNodeInfo has lost {missing}"


def test_the_tests_can_fork_rays_workers() -> None:
    """Else they start each anew, which works, but takes the suite minutes longer: see tests/fork_server.py."""
    import ray

    assert set(fixed_variables()) == {"RAY_JOB_ID", "RAY_RAYLET_PID"}, f"Ray {ray.__version__} keeps them elsewhere"
