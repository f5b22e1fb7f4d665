"""Many points: memory stays bounded, and the shortcuts agree with the exact refits."""

import io
import tracemalloc

import numpy as np
import pytest
from surfaces import CHINCHILLA, surface

import raysweep.frontier.fitting.surfaces as surfaces
import raysweep.frontier.numerics.progress as progress
from raysweep.frontier import fit
from raysweep.frontier.fitting.surfaces import draw_surfaces, fit_surface, surfaces_without_each
from raysweep.frontier.fitting.trajectories import without_each
from raysweep.frontier.laws.forms import Form
from raysweep.frontier.numerics.intervals import MANY_UNITS, resample
from raysweep.frontier.points.samples import Samples


def scattered(count, seed=0):
    generator = np.random.default_rng(seed)
    params, data = 10 ** generator.uniform(7, 10, count), 10 ** generator.uniform(9, 12, count)
    loss = surface(CHINCHILLA, params, data) * np.exp(0.01 * generator.normal(size=count))
    return {"params": params, "data": data, "flops": 6 * params * data, "loss": loss}


def samples_of(points):
    count = points["loss"].size
    return Samples(
        params=points["params"],
        data=points["data"],
        cost=points["flops"],
        loss=points["loss"],
        weight=np.ones(count),
        row=np.arange(count),
        cost_name="flops",
    )


def test_memory_of_many_points():
    points = scattered(2000)
    tracemalloc.start()
    found = fit(points, bootstraps=200)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6
    assert len(found.influence) == 2000
    interval = found.interval("params_exponent")
    assert interval.low < found.params_exponent < interval.high
    assert interval.width < 0.05


@pytest.mark.parametrize("law", ["additive", "tied"])
def test_one_step_jackknife_agrees_with_refits(law):
    samples, form = samples_of(scattered(300)), Form(law=law)
    found = fit_surface(samples, form, None, 0)
    exact = draw_surfaces(samples, found, form, without_each(np.arange(300)))[0].alpha
    quick = surfaces_without_each(samples, found, form, np.arange(300)).alpha
    assert np.std(quick) == pytest.approx(np.std(exact), rel=0.05)
    assert np.corrcoef(quick, exact)[0, 1] > 0.98
    assert np.argmax(np.abs(quick - np.mean(quick))) == np.argmax(np.abs(exact - np.mean(exact)))


def test_refits_from_the_optimum_agree_with_those_in_stages(monkeypatch):
    samples, form = samples_of(scattered(300)), Form()
    found, weights = fit_surface(samples, form, None, 0), resample(np.arange(300), 60, 0)
    staged, _ = draw_surfaces(samples, found, form, weights)
    monkeypatch.setattr(surfaces, "MANY_POINTS", 300)
    direct, converged = draw_surfaces(samples, found, form, weights)
    assert converged.all()
    away = np.abs(direct.params_exponent - staged.params_exponent)
    assert np.median(away) < 0.05 * np.std(staged.params_exponent)


def test_resamples_of_many_units():
    unit = np.repeat(np.arange(MANY_UNITS), 2)
    weights = resample(unit, 50, 3)
    assert np.all(weights.sum(axis=1) == unit.size)
    assert np.array_equal(weights[:, ::2], weights[:, 1::2])
    assert weights[:, ::2].var() == pytest.approx(1.0, rel=0.05)
    assert np.array_equal(weights, resample(unit, 50, 3))


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("stream", "seen"), [(Terminal(), True), (io.StringIO(), False)])
def test_progress_line_only_on_a_terminal(monkeypatch, stream, seen):
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_BETWEEN", 0.0)
    assert list(progress.shown(range(4), "refits")) == [0, 1, 2, 3]
    assert ("refits: 50%" in stream.getvalue()) is seen
    assert stream.getvalue().endswith("\r\x1b[K") is seen
