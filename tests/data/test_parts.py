from pathlib import Path

from raysweep.data.parts import Parts, Seen


def test_seen_knows_every_text_that_it_was_given_over_its_merges() -> None:
    seen = Seen()
    texts = [f"C{i}" for i in range(200_000)]
    assert all(seen.add(text) for text in texts)
    assert not any(seen.add(text) for text in texts[::7])
    assert seen.add("N")


def test_parts_of_another_recipe_lie_elsewhere(tmp_path: Path) -> None:
    assert Parts(tmp_path / "s", {"seed": 0}).path == Parts(tmp_path / "s", {"seed": 0}).path
    assert Parts(tmp_path / "s", {"seed": 0}).path != Parts(tmp_path / "s", {"seed": 1}).path


def test_parts_that_never_were_leave_no_folder(tmp_path: Path) -> None:
    with Parts(tmp_path / "s", {"seed": 0}) as parts:
        assert Path(parts.path).is_dir()
    assert list(tmp_path.iterdir()) == []
