"""Simulated scaling data with a known law, shared by the frontier benchmarks.

The law is Chinchilla's as refitted by 2404.10102. Points lie on isoFLOP curves from 1e18 to 1e22 FLOP, sizes within a
factor 4 of the optimum: 5 budgets x 8 sizes (n = 40) or 9 x 13 (n = 117).
"""

import numpy as np

E, A, ALPHA, B, BETA = 1.8172, 482.0, 0.3478, 2085.4, 0.3658
TARGET = 1e24
NOISE = 0.005
KINDS = ("gauss", "student3", "outliers", "uneven")
LAYOUTS = {40: (5, 8), 117: (9, 13)}


def loss(params, data):
    """Return the law's loss."""
    return E + A * params**-ALPHA + B * data**-BETA


def optimum(flops):
    """Return N* and L* of the law at C = 6 N D."""
    scale = (ALPHA * A / (BETA * B)) ** (1 / (ALPHA + BETA))
    params = scale * (flops / 6) ** (BETA / (ALPHA + BETA))
    return params, loss(params, flops / 6 / params)


TRUTH = np.array([BETA / (ALPHA + BETA), np.log(optimum(TARGET)[0]), optimum(TARGET)[1]])
"""a, ln N*(1e24), L*(1e24)."""


def layout(count, window=4.0):
    """Return params, data and flops of `count` points."""
    budgets, sizes = LAYOUTS[count]
    flops = np.repeat(np.geomspace(1e18, 1e22, budgets), sizes)
    factors = np.tile(np.geomspace(1 / window, window, sizes), budgets)
    params = np.array([optimum(c)[0] for c in flops]) * factors
    return params, flops / 6 / params, flops


def noise(kind, flops, generator):
    """Return errors of ln loss of a standard deviation near .5 %.

    gauss; student3: three degrees of freedom, scaled to that standard deviation; outliers: 8 % of the points are raised
    by an exponential of mean 5 %; uneven: the standard deviation falls by a factor 3.3 from the smallest budget to the
    largest.
    """
    count = flops.size
    normal = NOISE * generator.normal(size=count)
    if kind == "student3":
        return NOISE * generator.standard_t(3, size=count) / np.sqrt(3.0)
    if kind == "outliers":
        return normal + np.where(generator.random(count) < 0.08, generator.exponential(0.05, count), 0.0)
    if kind == "uneven":
        place = np.log(flops / flops.min()) / np.log(flops.max() / flops.min())
        scale = np.exp(1.2 * (0.5 - place))
        return normal * scale / np.sqrt(np.mean(scale**2))
    return normal


def table(kind, count, generator):
    """Return one simulated table."""
    params, data, flops = layout(count)
    return {
        "params": params,
        "data": data,
        "flops": flops,
        "loss": loss(params, data) * np.exp(noise(kind, flops, generator)),
    }
