"""Noise-free surfaces: all five parameters, and N*(1e24) from isoFLOP valleys where a parabola is biased.

    python benchmarks/frontier_noise_free.py

Bar: parameters to 1e-6; isoFLOP N*(1e24) within 2 % at a window of a factor 16 either side (a parabola: up to 30 %).
"""

import numpy as np

from raysweep.frontier import fit

SURFACES = {
    "Chinchilla's": (1.8172, 482.0, 0.3478, 2085.4, 0.3658),
    "alpha / beta = 3": (1.8, 2000.0, 0.6, 30.0, 0.2),
    "alpha / beta = 1/3": (1.8, 40.0, 0.2, 20000.0, 0.6),
}
WINDOW, TARGET = 16.0, 1e24


def optimum(law, flops):
    """Return N* for C = 6 N D."""
    _, a, alpha, b, beta = law
    return (alpha * a / (beta * b)) ** (1 / (alpha + beta)) * (flops / 6) ** (beta / (alpha + beta))


def valleys(law, drift):
    """Return five budgets of nine sizes; the window's centre drifts off the optimum by e^drift a budget."""
    e, a, alpha, b, beta = law
    flops = np.repeat(np.geomspace(1e18, 1e22, 5), 9)
    step = np.repeat(np.arange(5) - 2.0, 9)
    params = optimum(law, flops) * np.exp(drift * step) * np.tile(np.geomspace(1 / WINDOW, WINDOW, 9), 5)
    data = flops / 6 / params
    return {"params": params, "data": data, "flops": flops, "loss": e + a * params**-alpha + b * data**-beta}


def parabola(points):
    """Return N*(1e24) as approach 2 is usually made: parabolas in ln N, a line through their vertices."""
    minima = []
    for flops in np.unique(points["flops"]):
        chosen = points["flops"] == flops
        c2, c1, _ = np.polyfit(np.log(points["params"][chosen]), points["loss"][chosen], 2)
        minima.append((np.log(flops), -c1 / (2 * c2)))
    slope, base = np.polyfit(*np.array(minima).T, 1)
    return np.exp(base + slope * np.log(TARGET))


def main():
    """Print a line for each surface and drift."""
    for name, law in SURFACES.items():
        for drift in (0.0, 0.4):
            points = valleys(law, drift)
            found = fit(points, bootstraps=0).law
            got = (found.E, found.A, found.alpha, found.B, found.beta)
            worst = max(abs(one / true - 1) for one, true in zip(got, law, strict=True))
            true = optimum(law, TARGET)
            ours = fit(points, method="isoflop", bootstraps=0).optimal(flops=TARGET).params.value
            print(
                f"{name:<19} drift {drift:.1f}  worst parameter off by {worst:.1e} (bar 1e-6)   isoFLOP N*(1e24): "
                f"{ours / true - 1:+.2e} (bar 2 %), parabola {parabola(points) / true - 1:+.1%}"
            )


if __name__ == "__main__":
    main()
