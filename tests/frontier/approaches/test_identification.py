"""Exponents that the points leave open are a finding, whatever the reason, and whether or not there are bootstraps."""

import numpy as np
import pytest
from surfaces import CHINCHILLA, shared, surface, valleys

from raysweep.frontier import fit, read_csv
from raysweep.frontier.approaches.identification import first_order
from raysweep.frontier.points.findings import Kind


def made(params, data, noise=0.005, seed=0):
    loss = surface(CHINCHILLA, params, data) * np.exp(noise * np.random.default_rng(seed).normal(size=params.size))
    return {"params": params, "data": data, "flops": 6 * params * data, "loss": loss}


def all_but_lockstep():
    params = np.geomspace(1e7, 1e10, 14)
    return made(params, 20 * params * np.exp(0.1 * np.random.default_rng(1).normal(size=14)))


def few_points_of_much_noise():
    params, data = (axis.ravel() for axis in np.meshgrid([1e8, 2e8, 3e8, 5e8], [4e9, 8e9, 1.2e10, 2e10]))
    return made(params, data, noise=0.03)


@pytest.mark.parametrize("bootstraps", [0, 60])
@pytest.mark.parametrize("points", [all_but_lockstep(), few_points_of_much_noise()])
def test_designs_that_leave_exponents_open_are_told(points, bootstraps):
    found = fit(points, bootstraps=bootstraps, law="additive")
    assert not found.status.ok
    (one,) = [one for one in found.status.findings if one.kind is Kind.EXPONENTS_OPEN]
    assert "95 % intervals of a " in one.sentence


@pytest.mark.parametrize("bootstraps", [0, 60])
def test_designs_that_determine_them_are_not(bootstraps):
    found = fit(valleys(CHINCHILLA, window=4, noise=0.005), bootstraps=bootstraps, law="additive")
    assert not found.status.found(Kind.EXPONENTS_OPEN)


def test_the_first_order_is_that_of_the_bootstrap():
    found = fit(valleys(CHINCHILLA, window=4, noise=0.005, seed=2), law="additive", bootstraps=300)
    widths = {name: one.width for name, one in first_order(found, found.surface).items()}
    for name, width in widths.items():
        assert width == pytest.approx(found.interval(name).width, rel=0.35)


def test_few_points_of_force_fields_leave_them_open_with_and_without_an_asymptote():
    columns = {"params": "N", "data": "D_atoms", "flops": "C_flops", "loss": "force_mse_norm", "architecture": "arch"}
    frame = read_csv(shared("forcefields/points.csv"), columns=columns).to_pandas()
    frame = frame[(frame.architecture == "esen_l4") & frame.loss.notna()].sort_values("flops").iloc[:11]
    points = {name: frame[name].to_numpy(float) for name in ("params", "data", "flops", "loss")}
    for settings in ({}, {"asymptote": 0.0}, {"asymptote": 0.0, "law": "additive"}):
        assert fit(points, bootstraps=60, **settings).status.found(Kind.EXPONENTS_OPEN)
