"""A Ray that is started here leaves no token that others on the machine could read."""

import os
import stat
import subprocess
import sys
from pathlib import Path


def test_token_that_ray_makes_is_for_its_owner_alone(tmp_path: Path) -> None:
    code = "from raysweep.sweep.cluster.join import joined\nwith joined('local'): pass"
    hidden = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS"}
    environment = {**{k: v for k, v in os.environ.items() if k not in hidden}, "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)
    assert stat.S_IMODE((tmp_path / ".ray" / "auth_token").stat().st_mode) == 0o600
