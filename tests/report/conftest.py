"""A synthetic sweep, its answers and its figures, made once."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import synthetic_sweep

from raysweep.report.content.assemble import Assembled, assemble
from raysweep.report.content.sources import Material, from_saved_table
from raysweep.report.content.values import Answers
from raysweep.report.figures.figures import Drawn, draw
from tests.fewer_bootstraps import _fewer_bootstraps as _fewer_bootstraps
from tests.fewer_bootstraps import fewer_bootstraps


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_sweep.storage(tmp_path_factory.mktemp("sweep") / "synthetic")


@pytest.fixture(scope="session")
def material(storage: Path) -> Material:
    return from_saved_table(str(storage))


@pytest.fixture(scope="session")
def assembled(material: Material) -> Assembled:
    with fewer_bootstraps():
        return assemble(material)


@pytest.fixture(scope="session")
def answers(assembled: Assembled) -> Answers:
    return assembled.answers


@pytest.fixture(scope="session")
def drawn(material: Material, assembled: Assembled) -> Drawn:
    return draw(material, assembled)


@pytest.fixture(scope="session")
def figures(drawn: Drawn) -> dict[str, bytes]:
    return drawn.files
