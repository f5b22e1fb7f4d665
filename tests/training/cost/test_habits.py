"""Networks made of whatever torch offers: they train, go on to the bit, and are counted; or are refused by name."""

from dataclasses import replace

import pytest

from raysweep.core.errors import SpaceError
from raysweep.core.points import TIMED
from raysweep.core.trial import OptimizerSpec
from raysweep.training.loop import measure, train

BOTH = ("direct", "conservative")
pytestmark = pytest.mark.filterwarnings("ignore")  # what torch's compiler warns of while it traces


def but_timed(points):
    return [replace(point, **dict.fromkeys(TIMED)) for point in points]


@pytest.mark.parametrize(
    ("name", "forces"),
    [
        ("norms", "conservative"), ("weightnorm", "conservative"), ("spectralnorm", "direct"),
        ("orthogonal", "conservative"), ("attention", "direct"), ("attention", "conservative"),
        ("checkpointed", "direct"), ("compiled", "direct"), ("lookup", "conservative"), ("softmax", "conservative"),
        ("fourier", "conservative"), ("contracted", "direct"), ("complexes", "conservative"), ("solver", "direct"),
        ("averaging", "direct"), ("averaging", "conservative"), ("countscalls", "direct"),
    ],
)  # fmt: skip
def test_it_is_counted_and_goes_on_with_the_same_bits(plug_in, store, name, forces, tmp_path):
    spec = plug_in(name, forces=forces, structures=60, data_budgets=(150.0, 300.0), learning_rate=0.01)
    assert measure(spec, store).flops_per_atom > measure(plug_in("pairs", forces=forces), store).flops_per_atom
    whole = but_timed(train(spec, store, device="cpu"))
    first = train(spec, store, device="cpu", checkpoints=str(tmp_path))
    next(first)
    first.close()
    assert but_timed(train(spec, store, device="cpu", checkpoints=str(tmp_path))) == whole


@pytest.mark.parametrize("name", ["averaging", "countscalls"])
def test_a_branch_of_wsd_leaves_the_trunk_what_it_keeps_outside_of_its_state(plug_in, store, name, tmp_path):
    optimizer = OptimizerSpec(name="wsd", warmup_steps=3, decay_share=0.5)
    spec = plug_in(name, structures=60, optimizer=optimizer, data_budgets=(150.0, 300.0))
    whole = but_timed(train(spec, store, device="cpu"))
    first = train(spec, store, device="cpu", checkpoints=str(tmp_path))
    next(first)
    first.close()
    assert but_timed(train(spec, store, device="cpu", checkpoints=str(tmp_path))) == whole
    alone = but_timed(train(spec.model_copy(update={"data_budgets": (300.0,)}), store, device="cpu"))
    assert alone[-1].loss == whole[-1].loss


@pytest.mark.parametrize(
    ("name", "forces", "said"),
    [
        ("growing", BOTH, r"'growing': the state 'memory' is \[0\] where .* is built and \[\d+\] after.*final shape"),
        ("late", BOTH, r"'late': the state 'scale' is None where .* is built and \[8\] after.*final shape"),
        ("distances", BOTH[1:], r"'distances': a training step fails with .*_cdist_backward.*`forces: direct`"),
        ("compiled", BOTH[1:], r"'compiled': a training step fails with .*double backward.*`forces: direct`"),
        ("reentrant", BOTH, r"'reentrant': a training step fails with RuntimeError.*use_reentrant=False"),
        ("oddonly", BOTH, r"'oddonly': building the network fails with ValueError \(.*habits\.py, line \d+\): .* even"),
        ("misshapen", BOTH, r"'misshapen': a training step fails with RuntimeError \(.*habits\.py, line \d+\): mat1"),
        ("column", BOTH[:1], r"Column\.atoms returned None as direct forces; .* \[atoms, 3\]"),
        ("column", BOTH[1:], r"Column\.atoms returned \[\d+, 1\] as energies; .* \[atoms\]"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_line_with_the_remedy(plug_in, store, name, forces, said):
    for mode in forces:
        spec = plug_in(name, forces=mode)
        for call in (lambda spec=spec: measure(spec, store), lambda spec=spec: next(train(spec, store, device="cpu"))):
            with pytest.raises(SpaceError, match=said) as refused:
                call()
            assert "\n" not in str(refused.value)
