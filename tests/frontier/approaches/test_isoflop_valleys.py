"""The isoFLOP valleys as values: the minima of the law, with intervals, and why a budget has none."""

import numpy as np
import pytest
from surfaces import CHINCHILLA, optimum, valleys

from raysweep.core.errors import FrontierError
from raysweep.frontier import isoflop_valleys


def test_without_noise_each_minimum_is_the_laws_own():
    found = isoflop_valleys(valleys(CHINCHILLA), bootstraps=0)
    assert [valley.flops for valley in found] == pytest.approx(list(np.geomspace(1e18, 1e22, 5)))
    for valley in found:
        params, _, lowest = optimum(CHINCHILLA, valley.flops)
        assert valley.problem == ""
        assert valley.optimum.value == pytest.approx(params, rel=1e-5)
        assert valley.lowest == pytest.approx(lowest, rel=1e-8)
        assert valley.optimum.interval is None
        assert valley.loss_at(valley.params) == pytest.approx(valley.loss, rel=1e-6)


def test_intervals_of_the_minima_hold_the_true_ones_and_grow_with_noise():
    quiet, loud = (isoflop_valleys(valleys(CHINCHILLA, noise=noise, seed=1)) for noise in (0.001, 0.01))
    covered = 0
    for small, large in zip(quiet, loud, strict=True):
        assert np.ptp(np.log(list(large.optimum.interval))) > 2 * np.ptp(np.log(list(small.optimum.interval)))
        covered += optimum(CHINCHILLA, small.flops)[0] in small.optimum.interval
    assert covered >= 4


def test_a_budget_whose_minimum_lies_outside_its_sizes_says_so():
    found = isoflop_valleys(valleys(CHINCHILLA, drift=2.5), bootstraps=0)
    assert found[2].problem == ""
    assert "outside the sizes" in found[0].problem
    assert "outside the sizes" in found[-1].problem


def test_budgets_of_few_sizes_are_refused():
    with pytest.raises(FrontierError, match="no compute budget has 4 model sizes"):
        isoflop_valleys(valleys(CHINCHILLA, sizes=3))
