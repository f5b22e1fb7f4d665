"""The rooms import one way, heavy packages stay where they belong, and the command line starts at once."""

import ast
import json
import resource
import subprocess
import sys
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import raysweep

PACKAGE = Path(raysweep.__file__).parent
MAY_IMPORT = {
    "core": set(),
    "data": {"core"},
    "models": {"core", "data"},
    "training": {"core", "data", "models"},
    "storage": {"core"},
    "tracking": {"core", "storage"},
    "frontier": {"core", "storage", "tracking"},
    "trained": {"core", "data", "models", "training", "storage", "tracking", "frontier"},
    "sweep": {"core", "data", "models", "training", "storage", "tracking", "frontier"},
    "report": {"core", "storage", "frontier"},
    "jobs": {"core", "storage", "sweep"},
    "doctor": {"core", "data", "storage", "tracking", "sweep", "jobs"},
    "cli": {
        *("core", "data", "models", "training", "storage", "tracking", "frontier", "trained", "sweep"),
        *("report", "jobs", "doctor"),
    },
}
"""By room, the rooms above it that it builds on; every room may import itself."""
MOST_ENTRIES = 15
"""Of a folder, its `__init__.py` included."""
LONGEST_FILE = 300
LONGEST_FUNCTION = 40
"""Lines without the docstring."""
LONG_FUNCTIONS = {
    "cli/commands/points.py:frontier": "a parameter for each option",
    "cli/commands/data.py:data_import": "a parameter for each option",
    "data/formats/arrays/frames.py:layout_of": "one value with many fields, and the shapes that contradict it",
    "data/formats/arrays/frames.py:read_frames": "one value with many fields",
    "data/formats/ase/readable.py:_frame": "one value with many fields",
    "data/formats/fields/keyed.py:keys_of": "one value with many fields",
    "training/cost/measure.py:measure_cost": "one value with many fields",
}
"""The exceptions, each with its reason."""
AT_HOME = {
    "mlflow": {"tracking"},
    "ray": {"sweep", "jobs", "doctor"},
    "optuna": {"sweep"},
    "torch": {"data", "models", "training", "trained", "sweep"},
    "e3nn": {"models"},
    "schedulefree": {"training"},
    "rdkit": {"data"},
    "tblite": {"data"},
    "vesin": {"data"},
    "matplotlib": {"report"},
    "jinja2": {"report"},
    "typer": {"cli"},
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
            if name.startswith("raysweep."):
                seen += 1
                other = name.split(".")[1]
                if other != room and other not in MAY_IMPORT[room]:
                    wrong.append(f"{path.relative_to(PACKAGE)}:{line} imports {name}")
    assert seen > 500
    assert not wrong, "\n".join(wrong)


def module_of(path: Path) -> str:
    """Return a file's dotted name, a package's without `__init__`."""
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def imported_modules(path: Path, modules: set[str]) -> set[str]:
    """Return the modules of raysweep that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in modules else node.module)
    return (found & modules) - {module_of(path)}


def import_graph() -> dict[str, set[str]]:
    """Return by module the modules of raysweep that it imports; packages' faces, which only pass names on, left out."""
    files = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
    faces = {name for name, path in files.items() if path.stem == "__init__"}
    graph = {name: imported_modules(path, set(files)) for name, path in files.items()}
    behind = {face: graph[face] for face in faces}
    return {
        name: {inner for other in above for inner in (behind[other] if other in faces else {other})} - {name}
        for name, above in graph.items()
        if name not in faces
    }


def test_no_circles_among_files_and_none_among_the_parts_of_any_room():
    graph = import_graph()
    assert len(graph) > 200
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle
    parts: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name, above in graph.items():
        for other in above:
            here, there = name.split("."), other.split(".")
            same = 0
            while same < min(len(here), len(there)) - 1 and here[same] == there[same]:
                same += 1
            parts[".".join(here[:same])][here[same]].add(there[same])
    for room, edges in parts.items():
        try:
            TopologicalSorter(edges).prepare()
        except CycleError as circle:
            raise AssertionError(f"{room}: its parts import each other: {' -> '.join(circle.args[1])}") from circle


def test_no_folder_is_crowded():
    for folder in {path.parent for path in PACKAGE.rglob("*.py")}:
        entries = [path.name for path in folder.iterdir() if path.name != "__pycache__"]
        assert len(entries) <= MOST_ENTRIES, f"{folder.relative_to(PACKAGE)} has {len(entries)} entries: divide it"


def test_files_and_functions_are_short():
    long = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text, name = path.read_text(), path.relative_to(PACKAGE)
        if (lines := len(text.splitlines())) > LONGEST_FILE:
            long.append(f"{name}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                described = ast.get_docstring(node, clean=False)
                lines = node.end_lineno - node.lineno + 1 - (len(described.splitlines()) if described else 0)
                if lines > LONGEST_FUNCTION and f"{name}:{node.name}" not in LONG_FUNCTIONS:
                    long.append(f"{name}:{node.lineno}: {node.name} has {lines} lines")
    assert not long, "\n".join(long)


def test_a_class_name_means_one_thing():
    homes = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path.relative_to(PACKAGE)))
    assert len(homes) > 150
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


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
from raysweep.cli.app import main
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
        ("raysweep.cli.plans", {"scipy", "pandas"}),
        ("raysweep.cli.status", {"scipy", "pandas"}),
        ("raysweep.tracking.mlflow", {"scipy", "pandas"}),
    ],
)
def test_rooms_load_no_heavy_package_that_they_do_not_need(module: str, light: set[str]):
    own = {"typer"} if module.startswith("raysweep.cli.") else set()
    loaded = loaded_by(f"import {module}")
    assert not loaded & (set(AT_HOME) - own | light)


def test_the_estimator_starts_without_the_slowest_part_of_scipy():
    code = "import sys, raysweep.frontier; sys.exit('scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0, (
        "import scipy.stats where it is used"
    )


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
