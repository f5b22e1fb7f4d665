"""Numbers as people write them: read where they have one meaning, else refused."""

import numpy as np
import pytest

from raysweep.frontier.points.numbers import NotANumberError, numbers

MARKS = ["", "nan", "NaN", "n/a", "NA", "-", "null", None]


@pytest.mark.parametrize(
    ("texts", "name", "want"),
    [
        (["8.7B", "70m", "1.3 B", "7b params", "500K", "2 T"], "params", [8.7e9, 7e7, 1.3e9, 7e9, 5e5, 2e12]),
        (["300B tokens", "5 million", "1.5 billion tokens", "2e9 atoms"], "data", [3e11, 5e6, 1.5e9, 2e9]),
        (["1.2e9 ", " 1E9", "+3", "2.", ".5", "1.2e+09"], "data", [1.2e9, 1e9, 3, 2, 0.5, 1.2e9]),
        (["10^9", "1.2×10^9", "3*10**8", "10⁹", "2^20", "1.5 x 10^-3"], "data", [1e9, 1.2e9, 3e8, 1e9, 2**20, 1.5e-3]),
        (["1,234,567", "1,234"], "data", [1234567, 1234]),
        (["1,234.5", "1,234"], "loss", [1234.5, 1234]),
        (["0,5", "1,234"], "loss", [0.5, 1.234]),
        (["1.234,5", "1.234"], "loss", [1234.5, 1234]),
        (["1.234.567", "500.000"], "data", [1234567, 500000]),
        (["1 234", "1 234 567", "12\u202f345", "12\u00a0345"], "data", [1234, 1234567, 12345, 12345]),
        (["1_000", "10_000_000"], "data", [1000, 1e7]),
        (["1'234'567", "1’234"], "data", [1234567, 1234]),
        (["1,23,45,678"], "data", [12345678]),
        (["45%", "3.2 %"], "loss", [0.45, 0.032]),
        (["1.234", "2.345"], "loss", [1.234, 2.345]),
        (["2 EFLOP", "100 GFLOPs", "1 PF-day", "1 PFLOP/s-day", "1e21"], "flops", [2e18, 1e11, 8.64e19, 8.64e19, 1e21]),
        (["−5", "-5", "inf", "-∞"], "loss", [-5, -5, np.inf, -np.inf]),
    ],
)
def test_numbers_with_one_meaning_are_read(texts, name, want):
    assert numbers([*texts, *MARKS], name)[: len(want)].tolist() == pytest.approx(want)
    assert np.isnan(numbers([*texts, *MARKS], name)[len(want) :]).all()


@pytest.mark.parametrize(
    ("texts", "name", "place"),
    [
        (["1e9", "1,234"], "data", 1),
        (["", "12,345", "1,234"], "data", 1),
        (["1,5", "1.5"], "loss", 1),
        (["12 34"], "data", 0),
        (["1,2,3"], "data", 0),
        (["1.2.3"], "data", 0),
        (["0.3", "45%"], "loss", 1),
        (["45%"], "params", 0),
        (["2.1 nats"], "loss", 0),
        (["2.1K"], "loss", 0),
        (["5 PFLOP/s"], "flops", 0),
        (["3 h"], "seconds", 0),
        (["1", "~1e9"], "data", 1),
        (["1e9±2"], "data", 0),
        (["1e9B"], "data", 0),
        (["1e"], "data", 0),
        (["."], "data", 0),
        (["0x10"], "data", 0),
        (["1e400"], "data", 0),
        (["10^999"], "data", 0),
        (["1/3"], "loss", 0),
        (["2020-01-01"], "params", 0),
        (["true"], "loss", 0),
        (["$5"], "loss", 0),
    ],
)
def test_other_texts_are_refused_with_their_place(texts, name, place):
    with pytest.raises(NotANumberError) as error:
        numbers(texts, name)
    assert error.value.place == place


def test_the_sign_of_decimals_of_the_rest_of_a_file_decides_what_a_column_leaves_open():
    assert numbers(["1,234"], "data", decimal=".").tolist() == [1234]
    assert numbers(["1,234"], "loss", decimal=",").tolist() == [1.234]
    assert numbers(["500.000"], "data", decimal=",").tolist() == [500000]
    assert numbers(["1.5"], "data", decimal=",").tolist() == [1.5]
