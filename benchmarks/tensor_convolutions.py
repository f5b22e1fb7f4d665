"""The edge-aligned convolution against the full tensor product: `python benchmarks/tensor_convolutions.py`.

Both convolutions of `tensor`, correlation 1, for every degree: structures per second of a training step (forward, loss
on energies and forces, backward; conservative forces), taken in alternation, the median of each and of their ratios;
operations of the step per edge by the cost meter, and how they grow with the degree (slope of a log-log fit). Beside
them e3nn's own tensor product of the same paths, alone, against both of ours, alone: forward, and backward twice as
conservative forces need it. Wanted at l = 4 and 16 channels: so2 at least 4 times as fast as cg, and operations that
grow no faster than l to the 3.5. The store is made where it is absent.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from e3nn import o3

from raysweep.data.batches import load_graphs
from raysweep.data.store import open_store
from raysweep.data.xtb import make_store
from raysweep.models.base import Surroundings
from raysweep.models.convolutions import convolution, geometry
from raysweep.models.harmonics import edge_paths
from raysweep.models.registry import create
from raysweep.training.cost import FlopMeter, measure_cost
from raysweep.training.objective import Objective

DEGREES = (1, 2, 3, 4)


def seconds(steps, rounds):
    """Return the processor seconds of each step [rounds], the steps taken in alternation."""
    for step in steps:
        step()
    taken = [[] for _ in steps]
    for _ in range(rounds):
        for step, times in zip(steps, taken, strict=True):
            began = time.process_time()
            step()
            times.append(time.process_time() - began)
    return taken


def e3nn_product(l_max, width):
    """Return e3nn's tensor product along the same paths, on features flattened as it wants them."""
    irreps = o3.Irreps([(width, (l, (-1) ** l)) for l in range(l_max + 1)])
    harmonics = o3.Irreps([(1, (l, (-1) ** l)) for l in range(2 * l_max + 1)])
    paths = [(l1, l2, l3, "uvu", True) for l1, l3, l2 in edge_paths(l_max, l_max)]
    return o3.TensorProduct(irreps, harmonics, irreps, paths, internal_weights=False, shared_weights=False)


def products_alone(l_max, width, directions):
    """Return the steps of so2, cg and e3nn's product on random features of as many edges."""
    n = len(directions)
    shapes = [(n, 2 * l + 1, width) for l in range(l_max + 1)]
    n_weights = len(edge_paths(l_max, l_max))

    def twice(compute, features, weights):
        def step():
            vectors = directions.clone().requires_grad_(True)
            inputs = [x.clone().requires_grad_(True) for x in (*features, weights)]
            out = compute(vectors * 1.0, [x * 1.0 for x in inputs[:-1]], inputs[-1] * 1.0)
            gradients = torch.autograd.grad(sum(x.square().sum() for x in out), [vectors, *inputs], create_graph=True)
            sum(x.square().sum() for x in gradients).backward()

        return step

    steps = []
    for kind in ("so2", "cg"):
        module, edges = convolution(kind, l_max, l_max), geometry(kind, l_max)
        compute = lambda v, x, w, module=module, edges=edges: module(x, w, edges(v))  # noqa: E731
        steps.append(twice(compute, [torch.randn(shape) for shape in shapes], torch.randn(n, n_weights, width)))
    product, degrees = e3nn_product(l_max, width), list(range(2 * l_max + 1))

    def theirs(v, x, w):
        return [product(x[0], o3.spherical_harmonics(degrees, v, normalize=False, normalization="component"), w)]

    flat = torch.randn(n, sum(m * c for _, m, c in shapes))
    steps.append(twice(theirs, [flat], torch.randn(n, n_weights * width)))
    return steps


def main() -> None:
    """Print a line for each degree, the exponents, and e3nn's product beside ours."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", default="runs/quickstart/data")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--structures", type=int, default=8, help="of a batch")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not Path(arguments.store).exists():
        make_store(Path(arguments.store), structures=500)
    store = open_store(arguments.store)
    surroundings = Surroundings(
        elements=tuple(sorted(store.manifest.reference_energies)), scale=store.manifest.rms_force
    )
    objective = Objective(rms_energy=store.manifest.rms_energy, rms_force=store.manifest.rms_force)
    graphs = load_graphs(store, store.subset(max(arguments.structures, 64)), 5.0)
    batch = graphs.batch(np.arange(arguments.structures))
    print(
        f"width {arguments.width}, {arguments.depth} layers, correlation 1, conservative forces; batch of "
        f"{arguments.structures} structures, {len(batch.numbers)} atoms, {len(batch.senders)} edges; processor seconds"
    )
    print(" l  so2 struct./s   cg struct./s  ratio   so2 op./edge    cg op./edge")
    counted = {"so2": [], "cg": []}
    ratio = 0.0
    for l_max in DEGREES:
        steps = []
        for kind in ("so2", "cg"):
            size = {"width": arguments.width, "depth": arguments.depth, "l_max": l_max, "convolution": kind}
            model = create("tensor", {**size, "correlation": 1}, "conservative", surroundings, 0).train()

            def step(model=model):
                objective.loss(model(batch), batch).backward()

            steps.append(step)
            counted[kind].append(measure_cost(model, graphs, objective, 100).flops_per_edge)
        times = seconds(steps, arguments.rounds)
        so2, cg = (arguments.structures / statistics.median(column) for column in times)
        ratio = statistics.median(slow / fast for fast, slow in zip(*times, strict=True))
        print(f"{l_max:2d} {so2:14.0f} {cg:14.0f} {ratio:6.2f} {counted['so2'][-1]:14,.0f} {counted['cg'][-1]:14,.0f}")
    degrees = np.array(DEGREES, dtype=float)
    for kind, operations in counted.items():
        in_l, in_next = (np.polyfit(np.log(x), np.log(operations), 1)[0] for x in (degrees, degrees + 1))
        last = np.log(operations[-1] / operations[-2])
        print(
            f"{kind}: operations per edge grow as l^{in_l:.2f}, (l + 1)^{in_next:.2f}; from l = 3 to 4 as "
            f"l^{last / np.log(4 / 3):.2f}"
        )
    print(f"so2 over cg at l = 4: {ratio:.2f} (at least 4)")
    vectors = batch.vectors()
    directions = vectors / vectors.norm(dim=1, keepdim=True)
    print(
        "\nthe convolution alone, with both backward passes, milliseconds, and operations counted as the meter counts"
    )
    for l_max in DEGREES:
        steps = products_alone(l_max, arguments.width, directions)
        so2, cg, e3nn = (statistics.median(column) * 1e3 for column in seconds(steps, max(arguments.rounds // 3, 3)))
        operations = []
        for step in steps:
            with FlopMeter() as meter:
                step()
            operations.append(meter.total / len(directions))
        print(
            f"l {l_max}: so2 {so2:.1f} ms, cg {cg:.1f} ms ({cg / so2:.1f} x), e3nn {e3nn:.1f} ms ({e3nn / so2:.1f} x); "
            f"per edge {operations[0]:,.0f}, {operations[1]:,.0f}, {operations[2]:,.0f}"
        )


if __name__ == "__main__":
    main()
