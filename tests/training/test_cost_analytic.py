"""The cost meter against an independent count, for every family, both force modes."""

import pytest

from benchmarks.analytic_cost import count
from raysweep.training.cost import FlopMeter
from tests.models.molecules import SIZES, force_field, random_batch


@pytest.mark.parametrize("forces", ["direct", "conservative"])
@pytest.mark.parametrize("name", SIZES)
def test_products_and_contractions_of_a_step_agree_with_a_count_from_shapes(name, forces):
    model, batch = force_field(name, forces).train(), random_batch(6)
    with FlopMeter() as meter:
        prediction = model(batch)
        (prediction.energy.sum() + prediction.forces.square().sum()).backward()
    assert meter.products == pytest.approx(count(model, batch), rel=0.02)
