"""The rooms import one way, heavy packages stay where they belong, and the command line starts at once."""

import ast
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import raysweep

PACKAGE = Path(raysweep.__file__).parent
BASE = {
    "masking", "messages", "errors", "streams", "live", "temporary", "text", "patience", "proxies", "files", "trial",
    "measurements",
}  # fmt: skip
MAY_IMPORT = {
    "masking": set(),
    "messages": {"masking"},
    "errors": {"masking"},
    "streams": {"errors"},
    "live": {"streams"},
    "temporary": set(),
    "text": set(),
    "patience": {"errors"},
    "proxies": set(),
    "files": {"errors", "patience"},
    "trial": {"errors"},
    "measurements": {"errors"},
    "data": {"errors", "files", "temporary"},
    "models": {"errors", "files", "trial", "data"},
    "training": {*BASE, "data", "models"},
    "tracking": BASE,
    "frontier": {*BASE, "tracking"},
    "sweep": {*BASE, "data", "models", "training", "tracking", "frontier"},
    "report": {*BASE, "frontier"},
    "jobs": {*BASE, "sweep"},
    "doctor": {*BASE, "data", "tracking", "sweep", "jobs"},
    "commands": {*BASE, "data", "models", "training", "tracking", "frontier", "sweep", "report", "jobs", "doctor"},
    "cli": {*BASE, "commands"},
}
"""By room, the rooms above it that it builds on; every room may import itself and the package's version."""
AT_HOME = {
    "mlflow": {"tracking"},
    "ray": {"sweep", "jobs", "doctor"},
    "optuna": {"sweep"},
    "torch": {"data", "models", "training", "sweep"},
    "e3nn": {"models"},
    "schedulefree": {"training"},
    "rdkit": {"data"},
    "tblite": {"data"},
    "vesin": {"data"},
    "matplotlib": {"report"},
    "jinja2": {"report"},
    "typer": {"cli", "commands"},
}
"""Heavy packages, and the only rooms that import them."""


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> list[tuple[int, str]]:
    """Return (line, dotted name) of every import in a file, those inside of functions too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            assert node.module is not None
            names = [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "raysweep" else []
            found += [(node.lineno, name) for name in names or [node.module]]
    return found


def sources() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem != "__init__")


def test_every_room_is_in_the_table():
    rooms = {room_of(path) for path in sources()}
    assert rooms == set(MAY_IMPORT), "a new room needs a line in MAY_IMPORT: what it builds on"
    order = list(MAY_IMPORT)
    for room, above in MAY_IMPORT.items():
        assert all(order.index(other) < order.index(room) for other in above), f"{room} may import a room below it"


def test_a_room_imports_only_rooms_above_it():
    seen, wrong = 0, []
    for path in sources():
        room = room_of(path)
        for line, name in imports_of(path):
            if name.startswith("raysweep.") and name != "raysweep.__version__":
                seen += 1
                other = name.split(".")[1]
                if other != room and other not in MAY_IMPORT[room]:
                    wrong.append(f"{path.relative_to(PACKAGE)}:{line} imports {name}")
    assert seen > 150
    assert not wrong, "\n".join(wrong)


def test_heavy_packages_are_imported_at_home_alone():
    seen, wrong = set(), []
    for path in sources():
        for line, name in imports_of(path):
            package = name.split(".")[0]
            if package in AT_HOME:
                seen.add(package)
                if room_of(path) not in AT_HOME[package]:
                    wrong.append(f"{path.relative_to(PACKAGE)}:{line} imports {name}")
    assert {"mlflow", "ray", "torch", "matplotlib"} <= seen
    assert not wrong, "\n".join(wrong)


def loaded_by(code: str) -> set[str]:
    """Return the top-level packages that a fresh Python has loaded after running some code."""
    program = (
        f"{code}\nimport json, sys\nsys.stderr.write(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr))


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"], ["frontier", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]):
    code = f"""
from raysweep.cli import main
import sys
sys.argv = ["raysweep", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert not end.code
"""
    loaded = loaded_by(code)
    assert "typer" in loaded
    # Pydantic is left out: typer itself asks for it where a command has parameters (50 ms).
    assert not loaded & {*AT_HOME.keys() - {"typer"}, "numpy", "scipy", "pandas", "pyarrow", "ruamel"}


@pytest.mark.parametrize(
    ("module", "light"),
    [
        ("raysweep", {"numpy", "pyarrow", "pydantic"}),
        ("raysweep.frontier", {"pandas", "pydantic"}),
        ("raysweep.sweep.run", {"scipy", "pandas"}),
        ("raysweep.tracking.mlflow", {"scipy", "pandas"}),
    ],
)
def test_rooms_load_no_heavy_package_that_they_do_not_need(module: str, light: set[str]):
    loaded = loaded_by(f"import {module}")
    assert not loaded & (set(AT_HOME) | light)


def processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_takes_half_a_second_of_a_processor_at_most():
    command = [str(Path(sys.executable).parent / "raysweep"), "--help"]
    times = []
    for _ in range(5):
        before = processor_seconds()  # not the time on the wall, which other processes take as well
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        times.append(processor_seconds() - before)
    assert "frontier" in done.stdout
    assert min(times) <= 0.5, f"raysweep --help took {min(times):.2f} s at best"
