"""Examine the storage, the data and the MLflow of a sweep, as this machine reaches them."""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from pyarrow import fs

from raysweep.core.errors import RaysweepError
from raysweep.core.io.files import open_location, read_whole, write_whole
from raysweep.doctor.facts import free_inodes
from raysweep.doctor.findings import HealthFinding
from raysweep.doctor.judge import LEAST_INODES
from raysweep.sweep.space.data import Data
from raysweep.sweep.space.running import Tracking
from raysweep.tracking.connection import default_uri
from raysweep.tracking.health import proxy_warning, trouble

LEAST_STORAGE = 2**30


def of_storage(storage: str, where: str) -> Iterator[HealthFinding]:
    """Yield the findings about the storage; writes a file, reads it back and deletes it."""
    try:
        filesystem, root = open_location(storage)
        made = isinstance(filesystem, fs.LocalFileSystem) and not Path(root).exists()
        path, content = f"{root}/.doctor-{uuid.uuid4().hex[:12]}", uuid.uuid4().bytes
        write_whole(filesystem, path, content)
        same = read_whole(filesystem, path) == content
        if isinstance(filesystem, fs.LocalFileSystem):
            free = shutil.disk_usage(root).free
            if free < LEAST_STORAGE:
                text = f"storage {storage} has {free / 2**20:.0f} MiB left"
                yield HealthFinding(
                    check="disk", where=where, text=text, remedy="free some space there, or choose another `storage`"
                )
            for inodes in free_inodes(root):
                if inodes < LEAST_INODES:
                    text = f"storage {storage} has room for {inodes} more files (inodes)"
                    remedy = "delete small files on its disk (df -i), or choose another `storage`"
                    yield HealthFinding(check="disk", where=where, text=text, remedy=remedy)
        filesystem.delete_file(path)
        if made:
            Path(root).rmdir()
    except (OSError, RaysweepError) as error:
        text = f"storage {storage} cannot be used: {' '.join(str(error).split())[:200]}"
        yield HealthFinding(
            check="storage", where=where, text=text, remedy="choose another `storage`, or get access to it"
        )
        return
    if not same:
        text = f"data read back from storage {storage} differs from what was written"
        yield HealthFinding(check="storage", where=where, text=text, remedy="choose another `storage`")


def of_data(data: Data | None, where: str) -> Iterator[HealthFinding]:
    """Yield the findings about the structure store; one that the sweep makes itself may be absent."""
    if data is None:
        return
    from raysweep.data.store.store import open_store

    try:
        filesystem, path = open_location(data.store)
        if data.make and filesystem.get_file_info(f"{path}/manifest.json").type == fs.FileType.NotFound:
            return
        open_store(data.store)
    except (OSError, RaysweepError) as error:
        remedy = f"raysweep data check {data.store}; make or import it again, or correct data.store"
        yield HealthFinding(check="data", where=where, text=" ".join(str(error).split())[:300], remedy=remedy)


def of_mlflow(tracking: Tracking, storage: str, where: str) -> Iterator[HealthFinding]:
    """Yield the findings about MLflow that a driver on this machine would meet."""
    if not tracking.enabled:
        return
    try:
        uri = tracking.uri or default_uri(storage)
        warning, found = proxy_warning(uri), trouble(uri)
    except RaysweepError as error:
        warning, found = None, (str(error), "give tracking.uri")
    if warning is not None:
        yield HealthFinding(check="mlflow", where=where, text=warning[0], remedy=warning[1], severity="warning")
    if found is not None:
        yield HealthFinding(check="mlflow", where=where, text=found[0], remedy=found[1])
