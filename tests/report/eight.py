"""Eight families whose points have what every figure shows: budgets, runs, a bend for half of them."""

import numpy as np
import pyarrow as pa

FAMILIES = (
    "mpnn",
    "egnn",
    "tensor-l1",
    "tensor-l2",
    "gemnet",
    "hybrid-of-tensor-l2-and-attention-blocks",
    "visnet",
    "dimenet++",
)
SIZES = tuple(float(round(n)) for n in 4e3 * 2.0 ** np.arange(6))
BUDGETS = tuple(float(round(d)) for d in 1e4 * 2.0 ** np.arange(8))


def table(families: tuple[str, ...] = FAMILIES, *, noise: float = 0.004, runs: bool = True) -> pa.Table:
    """Return points of six runs of eight budgets a family; every second family's terms are coupled.

    Sizes and budgets are powers of 2 apart, so that runs meet at the same compute. `runs` names them in a column.
    """
    generator = np.random.default_rng(3)
    rows: dict[str, list[object]] = {
        name: [] for name in ("architecture", "trajectory", "params", "data", "flops", "loss")
    }
    for place, family in enumerate(families):
        coupling, alpha, beta = (1.0, 0.45)[place % 2], 0.3 + 0.03 * place, 0.34 + 0.025 * place
        for params in SIZES:
            for data in BUDGETS:
                terms = np.array([14.0 * params**-alpha, 30.0 * data**-beta]) ** (1.0 / coupling)
                loss = (0.05 + terms.sum() ** coupling) * np.exp(noise * generator.standard_normal())
                row = (family, f"{family} {params:g}", params, data, 60.0 * params * data, float(loss))
                for name, value in zip(rows, row, strict=True):
                    rows[name].append(value)
    found = pa.table(rows)
    return found if runs else found.drop_columns(["trajectory"])
