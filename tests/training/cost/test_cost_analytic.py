"""The cost meter against an independent count, for every family, both force modes."""

import pytest

from benchmarks.analytic_cost import count
from raysweep.training.cost.flops import FlopMeter
from raysweep.training.objective import differentiate
from tests.models.molecules import SIZES, force_field, random_batch


@pytest.mark.parametrize("forces", ["direct", "conservative"])
@pytest.mark.parametrize("name", SIZES)
def test_products_and_contractions_of_a_step_agree_with_a_count_from_shapes(name, forces):
    model, batch = force_field(name, forces).train(), random_batch(6)
    with FlopMeter() as meter:
        prediction = model(batch)
        differentiate(prediction.energy.sum() + prediction.forces.square().sum(), list(model.parameters()))
    assert meter.products == pytest.approx(count(model, batch), rel=0.02)
