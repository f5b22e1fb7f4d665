"""Digests of the users' training code, which determines a trial but is not part of its id.

Its digest is taken over the syntax trees of a module and of the user's own modules that it imports: comments,
docstrings, layout and the place on disk make no difference, anything else does. Own are the modules of the same package
and, unless that is installed, those in the same folder; imports are followed as they are written, also those inside
functions. Files that are read (weights, configurations), modules elsewhere and installed packages are not in it.
"""

import ast
import functools
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from pathlib import Path

from raysweep.core.hashing import digest
from raysweep.core.trial import TrialSpec
from raysweep.models.plug_ins import plug_ins

_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_INSTALLED = frozenset({"site-packages", "dist-packages"})


def code_of(spec: TrialSpec) -> str | None:
    """Return name and digest of a trial's training code, as `name@digest`; None for raysweep's own."""
    return code_named(spec.entrypoint, spec.architecture)


def code_named(entrypoint: str | None, architecture: str) -> str | None:
    """Return the same for an entrypoint, or for an architecture of a plug-in (with its package's version)."""
    if entrypoint is not None:
        return f"{entrypoint}@{code_digest(entrypoint.partition(':')[0])}"
    entry = plug_ins().get(architecture)
    if entry is None:
        return None
    package = f"{entry.dist.name} {entry.dist.version} " if entry.dist else ""
    return f"{architecture}@{package}{code_digest(entry.module)}"


def code_digest(module: str) -> str:
    """Return twelve hexadecimal digits of the SHA-256 over a module and the user's own modules that it imports."""
    lines = [f"{name} {_read(path).digest}\n" for name, path in sorted(code_files(module).items())]
    return digest("".join(lines).encode())[:12]


def code_files(module: str) -> dict[str, Path]:
    """Return the source files of a module and of the user's own modules that it imports, by name of module."""
    found: dict[str, Path] = {}
    top = module.partition(".")[0]
    places = _places(top)
    seen, todo = set(), [module]
    while todo:
        name = todo.pop()
        parent = name.rpartition(".")[0]
        if name in seen or not places or not _may_be_own(name, top, places):
            continue
        seen.add(name)
        todo += [parent] if parent else []
        path, is_package = _locate(name, places)
        if path is not None:
            found[name] = path
            package = name if is_package else parent
            todo += [imported for level, base in _read(path).imports for imported in _resolved(level, base, package)]
    return found


def _places(top: str) -> list[str]:
    """Return the folders of a module or package, where the modules beside it are looked for, too.

    Not wherever Python finds modules: that is for the module itself to change, and differs by process.
    """
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return []
    if spec is not None and spec.submodule_search_locations is not None:
        return [str(Path(place).parent) for place in spec.submodule_search_locations]
    return [str(Path(spec.origin).parent)] if spec is not None and spec.origin and spec.has_location else []


def _may_be_own(name: str, top: str, places: list[str]) -> bool:
    first = name.partition(".")[0]
    if first == top:
        return True
    installed = any(_INSTALLED & set(Path(place).parts) for place in places)
    return not installed and first != "raysweep" and first not in sys.stdlib_module_names


def _locate(name: str, places: list[str]) -> tuple[Path | None, bool]:
    """Find the source file of a module without importing it; return the file, if any, and whether it is a package."""
    *parents, last = name.split(".")
    for place in places:
        folder = Path(place, *parents)
        if (folder / last / "__init__.py").is_file():
            return folder / last / "__init__.py", True
        for suffix in SOURCE_SUFFIXES + EXTENSION_SUFFIXES:
            if (folder / f"{last}{suffix}").is_file():
                return folder / f"{last}{suffix}", False
    return None, True  # a folder without __init__.py, or nothing


@dataclass(frozen=True)
class _Source:
    digest: str
    """Of the syntax tree, of the bytes where there is none."""
    imports: tuple[tuple[int, str], ...]
    """Dots before the name, and names that may be modules."""


def _read(path: Path) -> _Source:
    status = path.stat()
    return _read_once(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=4096)
def _read_once(path: Path, modified: int, size: int) -> _Source:
    """Read a file; kept until it changes, since a plan asks for each of its trials."""
    data = path.read_bytes()
    try:
        tree = ast.parse(data)
        content = repr(_canonical(tree)).encode("utf-8", "backslashreplace")
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # compiled, or beyond Python's parser
        return _Source(digest(data), ())
    return _Source(digest(content), tuple(dict.fromkeys(_imports(tree))))


def _imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""
            yield from ((node.level, f"{node.module or ''}.{alias.name}".lstrip(".")) for alias in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if called in ("import_module", "__import__") and node.args and isinstance(node.args[0], ast.Constant):
                name = str(node.args[0].value)
                yield len(name) - len(name.lstrip(".")), name.lstrip(".")


def _resolved(level: int, name: str, package: str) -> Iterator[str]:
    """Yield the full name of an imported module, if there is one."""
    parts = package.split(".")
    above = parts[: len(parts) - level + 1] if level else []
    full = ".".join(part for part in (*above, name) if part)
    if full:
        yield full


def _canonical(node: object) -> object:
    """Return a syntax tree as plain values, without docstrings and positions, the same in every version of Python."""
    if isinstance(node, ast.AST):
        fields = dict(ast.iter_fields(node))
        if isinstance(node, _WITH_DOCSTRING) and ast.get_docstring(node, clean=False) is not None:
            fields["body"] = fields["body"][1:]
        # What is empty is left out: later versions of Python add fields.
        return (type(node).__name__, [(k, _canonical(v)) for k, v in sorted(fields.items()) if v not in (None, [])])
    return [_canonical(item) for item in node] if isinstance(node, list) else node
