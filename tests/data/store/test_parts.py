"""Parts of a store on disk: whole or absent, one process at a time, on a local file system and on another."""

from pathlib import Path

import pytest
from invented import invent
from pyarrow import fs

from raysweep.core.errors import DataError
from raysweep.data.store.part_rows import PartRows
from raysweep.data.store.parts import PartFolder, PartRecord, PieceFile
from raysweep.data.store.shards import shard_bytes

SHARDS = [shard_bytes(invent(n, groups=2, seed=n)) for n in (5, 3)]
RECORD = PartRecord(pieces=(PieceFile.of(SHARDS[0], 5), PieceFile.of(SHARDS[1], 3)))


def local(folder: Path) -> PartFolder[PartRecord]:
    return PartFolder(fs.LocalFileSystem(), str(folder), PartRecord)


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def test_a_part_is_found_whole_or_not_at_all(tmp_path: Path) -> None:
    with local(tmp_path / "parts") as parts:
        assert parts.find("a") is None
        parts.write("a", RECORD, SHARDS)
        assert parts.find("a") == parts.find("a", verify=True) == RECORD
        piece, record = tmp_path / "parts" / "a-1.arrow", tmp_path / "parts" / "a.json"
        flip(piece)
        assert parts.find("a") == RECORD
        assert parts.find("a", verify=True) is None
        piece.write_bytes(SHARDS[1][:-1])
        assert parts.find("a") is None
        piece.unlink()
        assert parts.find("a") is None
        parts.write("a", RECORD, SHARDS)
        record.write_bytes(record.read_bytes()[:-3])
        assert parts.find("a") is None


def test_a_part_that_another_version_wrote_counts_as_absent(tmp_path: Path) -> None:
    with local(tmp_path / "parts") as parts:
        parts.write("a", RECORD, SHARDS)
        (tmp_path / "parts" / "a.json").write_text('{"sha256": "0", "bytes": 3, "molecules": []}')
        assert parts.find("a") is None


def test_an_altered_piece_is_named_before_its_structures_are_read(tmp_path: Path) -> None:
    with local(tmp_path / "parts") as parts:
        parts.write("a", RECORD, SHARDS)
        flip(tmp_path / "parts" / "a-0.arrow")
        with pytest.raises(DataError, match=r"a-0\.arrow: altered since it was written\. Remove "):
            parts.verified([("a", RECORD)]).__enter__()


def test_a_folder_stays_for_as_long_as_it_holds_a_part(tmp_path: Path) -> None:
    with local(tmp_path / "parts"):
        assert (tmp_path / "parts").is_dir()
    assert not (tmp_path / "parts").exists()
    with local(tmp_path / "parts") as parts:
        parts.write("a", RECORD, SHARDS)
    with local(tmp_path / "parts") as parts:
        assert parts.find("a") == RECORD
        parts.remove()
        parts.remove()
    assert not (tmp_path / "parts").exists()


def test_one_process_at_a_time_has_the_folder(tmp_path: Path) -> None:
    with local(tmp_path / "parts") as parts:
        parts.write("a", RECORD, SHARDS)
        with pytest.raises(DataError, match="another process is making this store now"):
            local(tmp_path / "parts").__enter__()
    with local(tmp_path / "parts") as parts:
        assert parts.find("a") == RECORD


def test_remote_pieces_are_read_from_a_local_copy_that_is_removed_afterwards(tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    elsewhere = fs.SubTreeFileSystem(str(tmp_path / "bucket"), fs.LocalFileSystem())
    with PartFolder(elsewhere, "parts", PartRecord) as parts:
        parts.write("a", RECORD, SHARDS)
        with parts.verified([("a", RECORD)]) as files:
            assert [file.read_bytes() for file in files] == SHARDS
            assert len(PartRows(files, [5, 2])) == 7
            assert not any(file.is_relative_to(tmp_path) for file in files)
        assert not any(file.exists() for file in files)
        parts.remove()
        assert parts.find("a") is None
