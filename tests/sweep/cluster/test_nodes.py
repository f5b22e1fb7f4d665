"""What nodes answer is judged: each fault named with its node and its remedy."""

import re
from pathlib import Path

import pytest
from toy_sweep import SpaceMaker

from raysweep.core.errors import ClusterError, SpaceError
from raysweep.sweep.cluster import node_checks, nodes
from raysweep.sweep.cluster.capacity import check_fits
from raysweep.sweep.cluster.environment import environment
from raysweep.sweep.cluster.node_checks import Inspection
from raysweep.sweep.cluster.nodes import Node, NodeAnswer
from raysweep.sweep.preview import plan

NODE = Node("ab12", "10.0.0.2", "second", {"CPU": 4.0})


def judged(tmp_path: Path, **found: object) -> list[str]:
    with node_checks._Probe(str(tmp_path)) as probe:
        seen = found.pop("seen", probe.token)
        if found.pop("wrote", True):
            (tmp_path / probe.name / NODE.node_id).write_text(f"{probe.token} {NODE.node_id}")
        values = {"environment": environment(), "seen": seen, "trouble": None, "unread": (), **found}
        return [str(wrong) for wrong in probe.faults(NodeAnswer(NODE, Inspection(**values), None), environment())]  # type: ignore[arg-type]


def test_a_sound_node_passes_and_nothing_is_left_behind(tmp_path: Path) -> None:
    assert judged(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"seen": None}, "does not see what the driver wrote .* not shared; give a path that all nodes share"),
        ({"seen": "other"}, "does not read what the driver reads"),
        ({"trouble": "cannot read or write: permission denied"}, "permission denied .*let the user that Ray runs as"),
        ({"trouble": "cannot read or write: no space left on device"}, "free some space there"),
        ({"unread": ("/data/manifest.json: not what the driver reads there",)}, "cannot read the data, /data"),
        ({"environment": {**environment(), "torch": "1.0"}}, "different environment: torch 1.0 instead of 2"),
    ],
)
def test_each_fault_names_the_node_and_the_remedy(tmp_path: Path, found: dict[str, object], words: str) -> None:
    (wrong,) = judged(tmp_path, **found)
    assert wrong.startswith("node 10.0.0.2 (second) ")
    assert re.search(words, wrong), wrong


def test_what_a_node_wrote_has_to_be_read_by_the_driver(tmp_path: Path) -> None:
    (wrong,) = judged(tmp_path, wrote=False)
    assert "does not read what the driver reads" in wrong


def test_a_node_that_gives_no_answer_is_named(tmp_path: Path) -> None:
    with node_checks._Probe(str(tmp_path)) as probe:
        answer: NodeAnswer[Inspection] = NodeAnswer(NODE, None, "did not answer within 60 s")
        (wrong,) = probe.faults(answer, None)
        assert str(wrong).startswith("node 10.0.0.2 (second) did not answer within 60 s; ")


def test_a_driver_that_cannot_write_is_told_before_anybody_is_asked() -> None:
    with pytest.raises(ClusterError, match=r"storage /proc/none: the driver on .* cannot read or write"):
        node_checks.check_nodes([NODE], "/proc/none", [], None)


def test_a_node_without_raysweep_is_told_apart() -> None:
    text = "ray::_look()\n  File x\nModuleNotFoundError: No module named 'raysweep'"
    assert "install raysweep" in nodes._reason(text)


@pytest.mark.parametrize(
    ("resources", "missing"),
    [
        ({"cpu": 3}, r"toy.yaml.*resources.cpu: a trial requests 3 CPU and no node has more than 2"),
        ({"gpu": 2}, r"resources.gpu: a trial requests 2 GPU and no node has more than 1; request less, or add a node"),
    ],
)
def test_plan_refuses_a_trial_that_fits_on_no_node_of_the_cluster(
    one_ray: None, make_space: SpaceMaker, monkeypatch: pytest.MonkeyPatch, resources: dict[str, int], missing: str
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "auto")  # the cluster that `one_ray` has joined
    with pytest.raises(SpaceError, match=missing):
        plan(make_space(resources=resources))


def test_plan_counts_the_trials_that_each_node_holds(
    one_ray: None, make_space: SpaceMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert plan(make_space(resources={"cpu": 1})).slots == 2
    assert plan(make_space(resources={"cpu": 1, "gpu": 0.5})).slots == 2
    assert plan(make_space(resources={"cpu": 1, "gpu": 1})).slots == 1
    mixed = [{"CPU": 4.0}, {"CPU": 8.0, "GPU": 1.0}]
    space = make_space(resources={"cpu": 8, "gpu": 1})
    check_fits(space.resources, mixed, space.error)
    with pytest.raises(SpaceError, match=r"resources: no node has both 8 CPU and 1 GPU"):
        check_fits(space.resources, [{"CPU": 8.0}, {"CPU": 4.0, "GPU": 1.0}], space.error)
