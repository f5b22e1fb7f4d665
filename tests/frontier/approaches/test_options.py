"""The arguments of `fit`, and what an approach says about its minimum."""

import inspect

import numpy as np
import pytest

from raysweep.core.errors import FrontierError
from raysweep.frontier import fit
from raysweep.frontier.approaches.certificate import bound_findings, minimum_findings
from raysweep.frontier.approaches.options import Options, Settings, make_options
from raysweep.frontier.fitting.robust import Minimum
from raysweep.frontier.points.findings import Kind


def minimum(**changes):
    parts = {
        "theta": np.array([0.0, 1.0, 5.0, 1.0, 0.4]),
        "at_bound": np.array([False] * 5),
        "delta": 0.01,
        "objective": 1.0,
        "gradient_norm": 1e-9,
        "starts": 64,
        "agreeing": 64,
        "residuals": np.zeros(3),
        "noise": 0.01,
    }
    return Minimum(**{**parts, **changes})


def test_settings_are_the_arguments_of_fit_with_the_same_defaults():
    parameters = inspect.signature(fit).parameters
    assert set(Settings.__annotations__) == set(parameters) - {"points", "exclude"}
    defaults = {name: parameters[name].default for name in Settings.__annotations__}
    assert make_options(**defaults) == make_options() == Options()


def test_settings_become_options():
    options = make_options(law="tied", asymptote=0.5, purpose="prediction", loss_delta=1e-3, method="isoflop")
    assert (options.form.law, options.form.asymptote, options.form.over) == ("tied", 0.5, 0.4)
    assert (options.loss_delta, options.method) == (1e-3, "isoflop")
    assert make_options(asymptote="0.25").form.asymptote == 0.25


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"purpose": "fun"}, "purpose = 'fun': give exponents, prediction"),
        ({"law": "cubic"}, "law = 'cubic': give auto, additive, tied, data_constrained, params, data"),
        ({"loss_delta": "free"}, "loss_delta = 'free': give a number, or 'adaptive'"),
        ({"asymptote": -1}, "asymptote = -1.0: a loss is a number, and not negative"),
        ({"bootstraps": 10**6}, r"bootstraps = 1000000: give 0 or more, a whole number below 1e\+06"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings, message):
    with pytest.raises(FrontierError, match=message):
        make_options(**settings)


def test_a_certified_minimum_has_no_findings():
    assert minimum_findings(minimum()) == []
    assert bound_findings(minimum(), {0: "E", 2: "alpha"}) == []


def test_a_minimum_that_is_none_or_one_of_several_is_named():
    assert [found.kind for found in minimum_findings(minimum(gradient_norm=1e-3))] == [Kind.NOT_CONVERGED]
    (found,) = minimum_findings(minimum(agreeing=31))
    assert "31 of 64 starts" in found.sentence


def test_parameters_at_a_bound_are_named_with_the_remedy():
    found = bound_findings(minimum(at_bound=np.array([True, False, True, False, True])), {0: "E", 2: "alpha"})
    assert [one.sentence for one in found] == [
        "E is at its bound 0: fix it with asymptote=0, or add larger runs",
        "alpha is at its bound 5: the points do not determine it",
    ]
