"""The location of a new store: checks of its present content, and all files of the store written or none."""

import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pyarrow import fs
from pydantic import JsonValue

from raysweep.core.errors import DataError
from raysweep.core.io.files import open_location, read_whole, write_whole
from raysweep.data.store.manifest import MANIFEST_NAME
from raysweep.data.store.store import Store, open_store


def store_stands(location: str | Path) -> bool:
    """Whether there is a manifest at the location."""
    filesystem, path = open_location(location)
    return read_whole(filesystem, f"{path}/{MANIFEST_NAME}") is not None


def standing_store(location: str | Path, recipe: Mapping[str, JsonValue]) -> Store | None:
    """Open the store at the location, which the same recipe must have made; None if nothing is there.

    Raises:
        DataError: something else is there, or a store of another recipe.
    """
    if not store_stands(location):
        refuse_taken(*open_location(location))
        return None
    store = open_store(location)
    found = store.manifest.recipe
    differing = [key for key in {**recipe, **found} if recipe.get(key) != found.get(key)]
    if differing:
        shown = ", ".join(f"{key} is {found.get(key)!r}, asked for {recipe.get(key)!r}" for key in differing)
        raise DataError(
            f"store {location}: another recipe made it ({shown}). Choose another location, or remove that folder"
        )
    return store


def refuse_taken(filesystem: fs.FileSystem, path: str) -> None:
    """Refuse a path where no new store can be written.

    Raises:
        DataError: it is a file, or a folder that is not empty.
    """
    info = filesystem.get_file_info(path)
    if info.type == fs.FileType.File:
        raise DataError(f"{path}: a file is where the store's folder would be. Choose another location")
    within = filesystem.get_file_info(fs.FileSelector(path)) if info.type == fs.FileType.Directory else []
    if not isinstance(filesystem, fs.LocalFileSystem):  # shards of an interrupted write, which has no manifest
        within = [one for one in within if not one.base_name.startswith("shard-")]
    if within:
        raise DataError(f"{path}: the folder is not empty and would be overwritten. Choose another location")


@contextmanager
def new_store(filesystem: fs.FileSystem, path: str) -> Iterator[Callable[[str, bytes | memoryview], None]]:
    """Yield a function that writes a file of a new store by its name.

    Locally the files go to a sibling folder that is renamed at the end. On an object store they go to their final
    place, the manifest last; without it there is no store.
    """
    if not isinstance(filesystem, fs.LocalFileSystem):
        yield lambda name, data: write_whole(filesystem, f"{path}/{name}", data)
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.name}.writing-{uuid.uuid4().hex}"
    temporary.mkdir()
    try:
        yield lambda name, data: write_whole(filesystem, str(temporary / name), data)
        temporary.replace(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
