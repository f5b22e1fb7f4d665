from pathlib import Path

import numpy as np
from invented import invent

from raysweep.data.generation.labels import Labelled, Made
from raysweep.data.generation.parts import MadeParts
from raysweep.data.generation.seen import SeenTexts
from raysweep.data.store.splitting import index_of
from raysweep.data.structures import concatenate


def test_seen_knows_every_text_that_it_was_given_over_its_merges() -> None:
    seen = SeenTexts()
    texts = [f"C{i}" for i in range(200_000)]
    assert all(seen.add(text) for text in texts)
    assert not any(seen.add(text) for text in texts[::7])
    assert seen.add("N")


def test_parts_of_another_recipe_lie_elsewhere(tmp_path: Path) -> None:
    assert MadeParts(tmp_path / "s", {"seed": 0}).path == MadeParts(tmp_path / "s", {"seed": 0}).path
    assert MadeParts(tmp_path / "s", {"seed": 0}).path != MadeParts(tmp_path / "s", {"seed": 1}).path


def test_parts_that_never_were_leave_no_folder(tmp_path: Path) -> None:
    with MadeParts(tmp_path / "s", {"seed": 0}) as parts:
        assert Path(parts.path).is_dir()
    assert list(tmp_path.iterdir()) == []


def test_rows_of_parts_are_the_structures_that_were_added_cut_where_asked(tmp_path: Path) -> None:
    added = [invent(n, groups=2, seed=n) for n in (5, 1, 7)]
    whole = concatenate(added)
    with MadeParts(tmp_path / "s", {"seed": 0}) as parts:
        for k, structures in enumerate(added):
            made = Made(candidate=3 * k, smiles=f"m{k}", kept=len(structures), rejected={"why": k})
            parts.add(Labelled(structures=structures, molecules=(made,)))
            parts._write()
        assert (parts.structures, parts.molecules, parts.candidates) == (13, 3, 7)
        assert parts.left_out(6) == {"why": 1}  # the second molecule ends there
        assert parts.left_out(13) == {"why": 3}
        with parts.rows(10) as rows:
            assert rows.n_atoms.tolist() == whole.n_atoms[:10].tolist()
            order = np.random.default_rng(0).permutation(10)
            taken, expected = rows.take(order), whole.take(order)
            assert taken.positions.tobytes() == expected.positions.tobytes()
            assert taken.group.tolist() == expected.group.tolist()
            assert rows.index(4).group.tolist() == index_of(whole.head(10), 4).group.tolist()
