"""The names of a storage's files stand in `storage/layout.py` alone."""

import ast
import re
from pathlib import Path

import raysweep
from raysweep.storage import layout

PACKAGE = Path(raysweep.__file__).parent
NAMES = {name: value for name, value in vars(layout).items() if name.isupper()}
FOLDERS = (
    layout.LOGS,
    layout.REPORT,
    layout.TRIALS,
    layout.FORECASTS,
    layout.TRIAL_CHECKPOINTS,
    layout.MLFLOW_ARTIFACTS,
)
OTHERS = {("data/graphs/cached.py", layout.SIZES)}
"""A file of the same name that is no part of a sweep's storage: of the graphs that a structure store caches."""


def literals(source: str) -> list[tuple[int, str]]:
    """Return (line, text) of every string in a program but docstrings, parts of formatted ones too."""
    tree = ast.parse(source)
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docs)
    return [(node.lineno, node.value) for node in constants if isinstance(node.value, str)]


def names_in(text: str) -> set[str]:
    """Return the names of files and folders of a storage that a text spells."""
    text = re.sub(r"sqlite:////\S+|session_latest/logs", "", text)  # what a user may give, in a remedy; Ray's folder
    files = {name for name in NAMES.values() if name not in FOLDERS}
    found = {name for name in files if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.])", text)}
    return found | {name for name in FOLDERS if re.search(rf"(^|/){name}/|/{name}$", text)}


def test_every_name_is_there_once():
    assert len(NAMES) >= 20
    assert len(set(NAMES.values())) == len(NAMES)
    assert all(name in layout.__doc__ for name in NAMES.values())


def test_a_name_is_found_in_a_path_in_a_message_and_in_a_formatted_text():
    program = 'x = [f"{root}/points.parquet", f"{root}/trials/{i}", "x.json, see logs/ray.log", "trials", "report"]'
    found = [names_in(text) for _, text in literals(program)]
    assert set().union(*found) == {layout.POINTS, layout.TRIALS, layout.RAY_LOG}


def test_no_other_file_spells_the_name_of_a_file_in_a_storage():
    seen, wrong = 0, []
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        if place == "storage/layout.py":
            continue
        for line, text in literals(path.read_text()):
            seen += 1
            wrong += [
                f"{place}:{line} spells {name!r}: take it from storage/layout.py"
                for name in names_in(text)
                if (place, name) not in OTHERS
            ]
    assert seen > 3000
    assert not wrong, "\n".join(wrong)
