"""Fixtures of the room: a SQLite database whose tables are made once and copied for each test."""

import shutil
from pathlib import Path

import pytest

from raysweep.tracking.connection import connect, quiet

quiet(None)  # before the tests import MLflow, whose messages and deprecation warnings are not ours


@pytest.fixture(autouse=True)
def _calm() -> None:
    quiet(None)  # pytest sets the filters of warnings anew for each test


@pytest.fixture(scope="session")
def fresh_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    quiet(None)
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    connect(f"sqlite:///{path}")
    return path


@pytest.fixture
def uri(fresh_database: Path, tmp_path: Path) -> str:
    shutil.copy(fresh_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"
