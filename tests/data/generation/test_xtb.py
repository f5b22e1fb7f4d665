import json
import math
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raysweep.core.errors import DataError, StorageError
from raysweep.data.generation import parts, xtb
from raysweep.data.generation.presets import Displacing
from raysweep.data.generation.xtb import make_store
from raysweep.data.reasons import (
    DUPLICATE,
    FORCE_ABOVE_LIMIT,
    NO_PARAMETERS,
    NOT_CONVERGED,
    NOT_EMBEDDED,
    NOT_GROWN,
)
from raysweep.data.store.store import Store, open_store
from tests.kept_workers import KeptWorkers


def test_one_worker_makes_the_same_store_as_two(real_store: Store, tmp_path: Path) -> None:
    n = real_store.manifest.structures
    alone = make_store(tmp_path / "alone", structures=n, seed=7, workers=1, validation_fraction=0.2)
    assert alone.manifest.fingerprint == real_store.manifest.fingerprint
    assert alone.manifest.rejected == real_store.manifest.rejected
    assert alone.manifest.shards[0].sha256 == real_store.manifest.shards[0].sha256


def test_another_seed_makes_other_structures(real_store: Store, tmp_path: Path, kept_workers: KeptWorkers) -> None:
    other = make_store(tmp_path / "other", structures=40, seed=8, pool=kept_workers)
    assert other.manifest.fingerprint != real_store.manifest.fingerprint
    assert set(other.read(other.subset(20)).group) != set(real_store.read(real_store.subset(20)).group)


def test_the_store_holds_what_was_asked_for(real_store: Store) -> None:
    manifest = real_store.manifest
    everything = real_store.read(np.arange(120))
    assert manifest.structures == len(everything) == 120
    assert manifest.train_structures + manifest.validation_structures == 120
    assert manifest.atoms == len(everything.numbers)
    assert set(manifest.elements) == set(everything.numbers.tolist()) <= {1, 6, 7, 8, 9}
    assert 8 < manifest.atoms / manifest.structures < 14
    assert 1.0 < manifest.rms_force < 2.0
    assert manifest.units["forces"] == "eV/Å"
    assert manifest.units["energy"] == "eV"
    assert np.linalg.norm(everything.forces, axis=1).max() <= Displacing().force_limit


def test_every_reason_for_rejection_is_counted(tmp_path: Path, kept_workers: KeptWorkers) -> None:
    strict = make_store(
        tmp_path / "s", structures=40, seed=7, pool=kept_workers, displacing=Displacing(force_limit=4.0)
    )
    rejected = strict.manifest.rejected
    assert set(rejected) <= {DUPLICATE, FORCE_ABOVE_LIMIT, NOT_CONVERGED, NOT_EMBEDDED, NOT_GROWN, NO_PARAMETERS}
    # 10 structures of each molecule that gave any were tried; those not kept were counted, the last molecule's cut off
    groups = strict.manifest.train_groups + strict.manifest.validation_groups
    kept = strict.read(np.arange(40))
    assert np.linalg.norm(kept.forces, axis=1).max() <= 4.0
    assert rejected[FORCE_ABOVE_LIMIT] >= 10 * groups - 40 - 9
    assert rejected[FORCE_ABOVE_LIMIT] > 0


def test_a_limit_that_nothing_meets_ends_with_the_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept_workers: KeptWorkers
) -> None:
    monkeypatch.setattr(xtb, "TRIED_AT_LEAST", 50)
    with pytest.raises(DataError, match=r"of 80 structures 0 were kept .*force above limit.*80.* Raise force_limit"):
        make_store(tmp_path / "s", structures=40, pool=kept_workers, displacing=Displacing(force_limit=1e-3))
    assert not (tmp_path / "s").exists()


def test_the_same_recipe_is_not_made_again_and_another_one_is_refused(real_store: Store) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in Path(real_store.location).iterdir()}
    started = time.perf_counter()
    again = make_store(real_store.location, structures=120, seed=7, validation_fraction=0.2)
    assert time.perf_counter() - started < 0.5
    assert again.manifest == real_store.manifest
    assert {path.name: path.stat().st_mtime_ns for path in Path(real_store.location).iterdir()} == before
    with pytest.raises(DataError, match=r"another recipe made it \(seed is 7, asked for 8\)"):
        make_store(real_store.location, structures=120, seed=8, validation_fraction=0.2)


def test_a_folder_with_other_things_is_refused_at_once_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(DataError, match="not empty"):
        make_store(tmp_path, structures=10**9)
    assert (tmp_path / "thesis.tex").read_text() == "precious"


@pytest.mark.parametrize("wrong", [{"structures": 0}, {"structures": 50, "seed": -1}, {"structures": 50, "workers": 0}])
def test_arguments_out_of_range_are_named(wrong: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must be at least"):
        make_store(tmp_path / "s", **wrong)


def test_what_cannot_be_made_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"preset is 'divers', .*nearest: diverse\. Known are small-organics, organics"):
        make_store(tmp_path / "s", structures=50, preset="divers")
    with pytest.raises(DataError, match="structures is 10, and one molecule gives up to 10: the split needs two"):
        make_store(tmp_path / "s", structures=10)

    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(xtb, "version", lambda name: absent(name) if name == "tblite" else "1")
    with pytest.raises(DataError, match="making data needs tblite, which is not installed"):
        make_store(tmp_path / "s", structures=50)
    assert list(tmp_path.iterdir()) == []


def test_shares_and_displacements_without_meaning_are_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="validation_fraction is 0"):
        make_store(tmp_path / "s", structures=10**9, validation_fraction=0)
    for wrong in ({"temperatures": (500.0, 100.0)}, {"wavenumber": 0.0}, {"structures_per_molecule": 0}):
        with pytest.raises(DataError, match="temperatures above 0 and rising"):
            Displacing(**wrong)


def test_a_killed_worker_ends_with_a_message_and_what_was_made_is_kept(
    tmp_path: Path, begun_with: Callable[..., int]
) -> None:
    kept = {child.pid for child in multiprocessing.active_children()}

    def kill(done: int, wanted: int) -> None:
        if done >= 100:
            own = [child.pid for child in multiprocessing.active_children() if child.pid not in kept]
            os.kill(own[0] or 0, signal.SIGKILL)

    with pytest.raises(DataError, match="a worker process was killed from outside"):
        make_store(tmp_path / "s", structures=2000, workers=2, progress=kill)
    assert not (tmp_path / "s").exists()
    assert begun_with(tmp_path / "s", 120) >= 100


@pytest.fixture
def begun_with(kept_workers: KeptWorkers) -> Callable[..., int]:
    """Tell how many structures a making that was stopped had; it goes on and is compared with one anew."""

    def measured(location: Path, structures: int, seed: int = 0) -> int:
        seen: list[int] = []
        how: dict[str, Any] = {"structures": structures, "seed": seed, "pool": kept_workers}
        resumed = make_store(location, progress=lambda done, wanted: seen.append(done), **how)
        anew = make_store(location.parent / "anew", **how)
        assert resumed.manifest.fingerprint == anew.manifest.fingerprint
        assert resumed.manifest.rejected == anew.manifest.rejected
        assert not list(location.parent.glob(".*"))
        return seen[0] if seen else structures

    return measured


def test_progress_counts_up_to_what_was_asked_for(tmp_path: Path, kept_workers: KeptWorkers) -> None:
    seen: list[tuple[int, int]] = []
    make_store(
        tmp_path / "s", structures=25, pool=kept_workers, progress=lambda done, wanted: seen.append((done, wanted))
    )
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (25, 25)


def test_an_interrupt_in_the_middle_loses_nothing(tmp_path: Path, begun_with: Callable[..., int]) -> None:
    def stop(done: int, wanted: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_store(tmp_path / "s", structures=300, workers=1, progress=stop)
    assert not (tmp_path / "s").exists()
    assert begun_with(tmp_path / "s", 120) == 80


def test_kill_9_leaves_no_store_and_no_workers_and_a_rerun_goes_on(
    tmp_path: Path, begun_with: Callable[..., int]
) -> None:
    location = tmp_path / "s"
    program = (
        "import multiprocessing, sys\n"
        "from raysweep.data.generation import parts\n"
        "from raysweep.data.generation.xtb import make_store\n"
        "parts.PART_STRUCTURES = 100\n"
        "def say(done, wanted):\n"
        "    if done >= 500:\n"
        "        print(*[child.pid for child in multiprocessing.active_children()], flush=True)\n"
        "make_store(sys.argv[1], structures=100_000, workers=2, progress=say)\n"
    )
    script = tmp_path / "make.py"
    script.write_text(program)
    with subprocess.Popen([sys.executable, str(script), str(location)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        children = [int(pid) for pid in process.stdout.readline().split()]
        process.send_signal(signal.SIGKILL)
    assert len(children) == 2
    deadline = time.monotonic() + 20
    while any(_alive(pid) for pid in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in children if _alive(pid)]
    assert not location.exists()
    left = next(tmp_path.glob(".s.making-*"))
    last = max(left.glob("*.json"))
    (left / last.name.replace(".json", "-0.arrow")).write_bytes(b"torn")  # as a power cut may leave it
    whole = len(list(left.glob("*.json"))) - 1
    assert whole >= 2
    assert begun_with(location, 600) == 160 * whole  # two tasks of 80 structures make a part of 100 or more


def test_a_larger_and_a_smaller_store_go_on_from_the_same_parts(tmp_path: Path, begun_with: Callable[..., int]) -> None:
    def stop(done: int, wanted: int) -> None:
        if done >= 150:
            raise KeyboardInterrupt

    for structures in (100, 300):
        with pytest.raises(KeyboardInterrupt):
            make_store(tmp_path / "s", structures=1000, seed=4, workers=2, progress=stop)
        assert begun_with(tmp_path / "s", structures, seed=4) >= min(structures, 150)
        shutil.rmtree(tmp_path / "s")
        shutil.rmtree(tmp_path / "anew")


def test_two_makers_of_one_store_do_not_mix(tmp_path: Path) -> None:
    def second(done: int, wanted: int) -> None:
        with pytest.raises(DataError, match="another process is making this store now"):
            make_store(tmp_path / "s", structures=50, workers=1)

    make_store(tmp_path / "s", structures=50, workers=1, progress=second)


def test_a_part_that_was_altered_is_named(tmp_path: Path, kept_workers: KeptWorkers) -> None:
    def stop(done: int, wanted: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_store(tmp_path / "s", structures=100, pool=kept_workers, progress=stop)
    part = next(tmp_path.glob(".s.making-*/part-000000-0.arrow"))
    data = part.read_bytes()
    part.write_bytes(data[:2000] + bytes([data[2000] ^ 1]) + data[2001:])
    with pytest.raises(DataError, match=r"part-000000-0\.arrow: altered since it was written\. Remove "):
        make_store(tmp_path / "s", structures=100, pool=kept_workers)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", folder], capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"no disk of its own can be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_named_and_the_making_goes_on_when_there_is_room(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch, begun_with: Callable[..., int]
) -> None:
    monkeypatch.setattr(parts, "PART_STRUCTURES", 100)
    with pytest.raises(StorageError, match=r"No space left on device.*run the same command again"):
        make_store(small_disk / "s", structures=600, workers=2)
    assert not (small_disk / "s").exists()
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    assert begun_with(small_disk / "s", 400) >= 160


def test_a_place_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(DataError, match=r"cannot be written .*Choose another location"):
        make_store(tmp_path / "file" / "s", structures=10**9)


@pytest.mark.parametrize("from_file", [True, False])
def test_a_plain_script_can_make_a_store(tmp_path: Path, from_file: bool) -> None:
    """With no `if __name__ == "__main__"`, from a file and from standard input."""
    program = (
        "import sys\nfrom raysweep.data.generation.xtb import make_store\n"
        "make_store(sys.argv[1], structures=20, workers=2)\n"
    )
    (tmp_path / "make.py").write_text(program)
    source = str(tmp_path / "make.py") if from_file else "-"
    command = [sys.executable, source, str(tmp_path / "s")]
    subprocess.run(command, input=program, text=True, check=True, timeout=60)
    assert open_store(tmp_path / "s").manifest.structures == 20


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def test_the_manifest_says_how_the_store_was_made(real_store: Store) -> None:
    info = json.loads(json.dumps(real_store.info()))
    assert info["recipe"]["structures"] == 120
    assert info["recipe"]["temperatures"] == [100.0, 1000.0]
    assert info["made_with"]["tblite"] == metadata.version("tblite")
    assert info["mean_atoms"] == info["atoms"] / 120
    assert math.isfinite(info["rms_energy"])
    assert open_store(real_store.location).manifest == real_store.manifest
