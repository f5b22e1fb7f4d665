"""RMSE of the exponent a at 40 points and .5 % noise, with and without one-sided outliers, against other objectives.

    python benchmarks/frontier_efficiency.py [--replicates 300]

Paired replicates: all estimators see the same points, and the outliers are added to the same Gaussian noise. Outliers:
8 % of the points, raised by an exponential of mean 5 %.
"""

import argparse

import numpy as np
from frontier_simulation import ALPHA, BETA, A, B, E, layout, loss

from raysweep.frontier import fit

TRUE = BETA / (ALPHA + BETA)
ESTIMATORS = {"raysweep, adaptive": "adaptive", "Huber 1e-3": 1e-3, "Huber 1e-2": 1e-2, "least squares": 0.1}


def main():
    """Print RMSE, and its jackknife error, for each objective."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=300)
    count = parser.parse_args().replicates
    params, data, flops = layout(40)
    errors = {name: ([], []) for name in ESTIMATORS}
    for seed in range(count):
        generator = np.random.default_rng([seed, 7])
        gauss = 0.005 * generator.normal(size=40)
        raised = gauss + np.where(generator.random(40) < 0.08, generator.exponential(0.05, 40), 0.0)
        for place, noise in enumerate((gauss, raised)):
            points = {"params": params, "data": data, "flops": flops, "loss": loss(params, data) * np.exp(noise)}
            for name, delta in ESTIMATORS.items():
                errors[name][place].append(fit(points, loss_delta=delta, bootstraps=0).params_exponent - TRUE)
    print(f"law: E {E}, A {A}, alpha {ALPHA}, B {B}, beta {BETA}; {count} paired replicates; RMSE of a")
    for name, both in errors.items():
        shown = "   ".join(f"{rms:.5f} +- {error:.5f}" for rms, error in map(spread, both))
        print(f"{name:<20} Gaussian, with outliers: {shown}   (bars .0082, .0097)")


def spread(values):
    """Return the root mean square and its standard error."""
    squares = np.square(values)
    rms = np.sqrt(squares.mean())
    return rms, squares.std() / np.sqrt(squares.size) / (2 * rms)


if __name__ == "__main__":
    main()
