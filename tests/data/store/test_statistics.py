import numpy as np
import pytest

from raysweep.data.store.statistics import SQUARES_AT_ONCE, MeanSquare


@pytest.mark.parametrize("count", [1, SQUARES_AT_ONCE, SQUARES_AT_ONCE + 1, 5 * SQUARES_AT_ONCE + 13])
def test_the_root_mean_square_is_to_the_bit_that_of_all_numbers_at_once(count: int) -> None:
    values = np.random.default_rng(count).normal(size=(count, 3)).astype(np.float32)
    mean = MeanSquare()
    mean.add(values)
    assert mean.root() == np.sqrt(np.sum(np.square(values, dtype=np.float64)) / values.size)
