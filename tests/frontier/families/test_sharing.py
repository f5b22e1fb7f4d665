"""Families with parameters in common: the joint optimum, its intervals, and the test against free fits."""

import numpy as np
import pytest
from scipy.optimize import least_squares
from surfaces import CHINCHILLA, valleys

from raysweep.core.errors import FrontierError
from raysweep.frontier import fit_families, from_json, to_json
from raysweep.frontier.families.restriction import wald_test
from raysweep.frontier.points.findings import Kind

LAWS = {
    "middle": CHINCHILLA,
    "steep": {**CHINCHILLA, "alpha": 0.37, "beta": 0.39, "A": 600.0, "B": 3000.0},
    "flat": {**CHINCHILLA, "alpha": 0.32, "beta": 0.34, "A": 300.0, "B": 1500.0},
}
NAMES = ("E", "log_A", "alpha", "log_B", "beta")


def several(laws=LAWS, *, seed=0, noise=0.005, runs=None):
    """Return the points of several families, noisier from one to the next; `runs` gives each size a trajectory."""
    tables = [
        valleys(law, noise=noise * (1 + k), seed=100 * seed + k, budgets=4, sizes=7)
        for k, law in enumerate(laws.values())
    ]
    points = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    points["architecture"] = [name for name in laws for _ in range(28)]
    if runs:
        points["trajectory"] = [f"{name} {k % runs}" for name in laws for k in range(28)]
    return points


@pytest.mark.parametrize("share", [("E",), ("alpha", "beta"), ("E", "alpha")])
def test_the_joint_optimum_is_that_of_least_squares_on_all_parameters(share):
    points = several(seed=3)
    settings = {"law": "additive", "loss_delta": 0.1, "bootstraps": 0}
    found, free = fit_families(points, share=share, **settings), fit_families(points, **settings)
    of = np.array(points["architecture"])

    def errors(values):
        common, own, parts = dict(zip(share, values, strict=False)), list(values[len(share) :]), []
        for name in LAWS:
            e, a, alpha, b, beta = (common[one] if one in share else own.pop(0) for one in NAMES)
            rows = of == name
            x, y, z = (np.log(points[column][rows]) for column in ("params", "data", "loss"))
            parts.append((z - np.log(e + np.exp(a - alpha * x) + np.exp(b - beta * y))) / free[name].noise)
        return np.concatenate(parts)

    start = [1.02 * float(getattr(found["middle"].estimate, name)) for name in share]
    start += [float(getattr(found[name].estimate, one)) for name in LAWS for one in NAMES if one not in share]
    best = least_squares(errors, start, x_scale="jac", xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=5000)
    assert found["middle"].shared.values == pytest.approx(best.x[: len(share)], rel=1e-6)
    assert sum(one.objective / free[name].noise ** 2 for name, one in found.items()) == pytest.approx(best.cost)
    assert max(one.gradient_norm for one in found.values()) < 1e-6


def test_a_shared_asymptote_is_recovered_with_narrower_intervals():
    points = several(seed=1)
    found = fit_families(points, share=("E",), bootstraps=200)
    free = fit_families(points, law="additive", bootstraps=200)
    assert len({float(one.estimate.E) for one in found.values()}) == 1
    assert CHINCHILLA["E"] in found["flat"].interval("E")
    for name in ("steep", "flat"):
        for quantity in ("E", "gamma"):
            assert found[name].interval(quantity).width < 0.8 * free[name].interval(quantity).width
    shared = found["flat"].shared
    assert shared.test == "F"
    assert shared.degrees_of_freedom == (2, 69)
    assert shared.p_value > 0.05
    assert found["flat"].status.found(Kind.SHARED_PARAMETERS)
    assert found["flat"].status.ok


def test_what_the_points_contradict_is_told():
    found = fit_families(several(), share=("alpha", "beta", "E"), bootstraps=0)
    assert {one.status.kind for one in found.values()} == {Kind.SHARED_PARAMETERS}
    assert found["flat"].shared.p_value < 1e-4
    assert "contradict" in found["flat"].status.sentence


@pytest.mark.slow
def test_the_test_of_a_true_restriction_seldom_rejects():
    rejected = [
        fit_families(several(seed=seed), share="E", bootstraps=0)["middle"].shared.p_value < 0.05 for seed in range(100)
    ]
    assert np.mean(rejected) < 0.11


def test_families_that_share_are_compared_draw_by_draw():
    found = fit_families(several(seed=1), share=("E",), bootstraps=200)
    joint = found.contrasts()
    assert joint.paired
    same = found.contrasts("E").pair("steep", "flat").difference
    assert (same.value, same.interval.width) == (0.0, pytest.approx(0.0, abs=1e-9))
    apart = {name: from_json(to_json(one)) for name, one in found.items()}
    assert fit_families(several(seed=1), law="additive", bootstraps=60).contrasts().paired is False
    assert [one.difference for one in found.contrasts().pairs] == [
        one.difference for one in type(found)(apart).contrasts().pairs
    ]


def test_the_noise_of_runs_is_in_the_joint_fit():
    points = several(seed=1, runs=7)
    found = fit_families(points, share="E", bootstraps=100)
    of, trajectory = np.array(points["architecture"]), np.array(points["trajectory"])
    whitened = {}
    for name, one in found.items():
        rows, noise = np.flatnonzero(of == name), one.run_noise
        params, data = points["params"][rows], points["data"][rows]
        scale = np.array([noise.at(size) for size in params])
        apart = np.abs(np.subtract.outer(np.log(data), np.log(data)))
        together = np.equal.outer(trajectory[rows], trajectory[rows])
        like = together * ((1 - noise.white) * np.exp(-apart / noise.memory)) + noise.white * np.eye(rows.size)
        whitened[name] = rows, np.linalg.inv(np.linalg.cholesky(like * np.outer(scale, scale)))
        assert np.all(one.trust == 1)

    def errors(values):
        parts = []
        for place, (rows, root) in enumerate(whitened.values()):
            a, alpha, b, beta = values[1 + 4 * place : 5 + 4 * place]
            x, y, z = (np.log(points[column][rows]) for column in ("params", "data", "loss"))
            parts.append(root @ (z - np.log(values[0] + np.exp(a - alpha * x) + np.exp(b - beta * y))))
        return np.concatenate(parts)

    own = [float(getattr(found[name].estimate, one)) for name in LAWS for one in NAMES[1:]]
    best = least_squares(errors, [1.02 * found["flat"].law.E, *own], x_scale="jac", xtol=1e-15, ftol=1e-15, gtol=1e-15)
    assert found["flat"].shared.values[0] == pytest.approx(best.x[0], rel=1e-4)
    assert [found[name].law.alpha for name in LAWS] == pytest.approx(best.x[2::4], rel=1e-3)
    assert found["steep"].shared.test == "F"
    assert CHINCHILLA["E"] in found["flat"].interval("E")
    assert found["flat"].interval("E").width == pytest.approx(2 * 1.96 * joint_error(best), rel=0.5)
    assert np.size(found["steep"].leave_one_out.E) == 21
    assert found.contrasts("E").pair("steep", "flat").difference.interval.width == pytest.approx(0.0, abs=1e-9)


def joint_error(best):
    """Return the standard error of the first parameter, the covariance of the errors taken as known."""
    return np.sqrt(np.linalg.inv(best.jac.T @ best.jac)[0, 0])


def test_trajectories_are_drawn_whole_and_tested_by_wald():
    found = fit_families(several(seed=1, runs=7), share="E", bootstraps=100, loss_delta=0.1)
    shared = found["steep"].shared
    assert shared.test == "Wald's F"
    assert shared.degrees_of_freedom == (2, 6)
    assert found["steep"].run_noise is None
    assert [one.shared.first_unit for one in found.values()] == [0, 7, 14]
    assert np.size(found["steep"].leave_one_out.E) == 21
    rows = sorted(row for one in found["steep"].influence for row in one.rows)
    assert rows == list(range(28, 56))


def test_walds_statistic_of_two_families_is_the_square_of_a_t():
    generator = np.random.default_rng(0)
    without = [1.0 + 0.1 * generator.normal(size=(6, 1)), 0.5 + 0.1 * generator.normal(size=(9, 1))]
    variance = sum(np.var(one) * (one.size - 1) for one in without)
    statistic, freedom, p_value = wald_test(np.array([[1.0], [0.5]]), without, 5)
    assert statistic == pytest.approx(0.25 / variance)
    assert freedom == (1, 5)
    assert 0 < p_value < 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"share": ("gamma",)}, "give E, alpha, beta"),
        ({"share": ("E", "E")}, "give E, alpha, beta"),
        ({"share": "E", "asymptote": 1.8}, "held at 1.8 already"),
        ({"share": "E", "method": "envelope"}, "method='parametric'"),
        ({"share": "alpha", "law": "params"}, "laws of N and D"),
        ({"share": ("alpha", "beta"), "law": "tied"}, "ties two of these"),
    ],
)
def test_what_cannot_be_shared_is_refused(settings, message):
    with pytest.raises(FrontierError, match=message):
        fit_families(several(), bootstraps=0, **settings)


def test_one_family_shares_with_none():
    with pytest.raises(FrontierError, match="1 can be fitted of two or more"):
        fit_families({**valleys(CHINCHILLA), "architecture": ["one"] * 40}, share="E", bootstraps=0)
