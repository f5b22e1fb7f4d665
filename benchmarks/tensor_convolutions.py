"""The edge-aligned convolution against the full tensor product: `python benchmarks/tensor_convolutions.py`.

Both convolutions of `tensor`, correlation 1, for every degree: structures per second of a training step (forward, loss
on energies and forces, backward; conservative forces), each network in processes of its own, as a trial is (what one
leaves in the allocator slows the others), by turns, the median of each and of their ratios; operations of the step per
edge by the cost meter, and how they grow with the degree (slope of a log-log fit). Beside them the same network with
e3nn's own tensor product and linear layer in place of the convolution; and all three convolutions alone: forward, and
backward twice as conservative forces need it. Wanted at l = 4 and 16 channels: so2 at least 4 times as fast as cg, and
operations that grow no faster than l to the 3.5. The store is made where it is absent.
"""

import argparse
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from e3nn import o3

from raysweep.data.generation.xtb import make_store
from raysweep.data.graphs.batches import load_graphs
from raysweep.data.store.store import open_store
from raysweep.models.base import DatasetInfo
from raysweep.models.layers.convolutions import convolution, geometry
from raysweep.models.layers.harmonics import edge_paths
from raysweep.models.registry import create
from raysweep.training.cost.flops import FlopMeter
from raysweep.training.cost.measure import measure_cost
from raysweep.training.device.memory import keep_freed_memory
from raysweep.training.objective import Objective, differentiate

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


class E3nnConvolution(torch.nn.Module):
    """The same functions by e3nn's own tensor product, channel by channel, and its linear layer over paths."""

    def __init__(self, l_in, l_out, width):
        super().__init__()
        irreps, self.out = (o3.Irreps([(width, (l, (-1) ** l)) for l in range(n + 1)]) for n in (l_in, l_out))
        self.harmonics = o3.Irreps([(1, (l, (-1) ** l)) for l in range(2 * l_in + 1)])
        paths = sorted(edge_paths(l_in, l_out), key=lambda path: path[1])
        middle = o3.Irreps([(width, (l3, (-1) ** l3)) for _, l3, _ in paths])
        instructions = [(l1, l2, i, "uvu", False) for i, (l1, _, l2) in enumerate(paths)]
        self.product = o3.TensorProduct(irreps, self.harmonics, middle, instructions)
        self.mix = o3.Linear(middle.simplify(), self.out)
        self.sizes = [2 * l + 1 for l in range(l_in + 1)]
        self.sizes_out, self.width = [(2 * l + 1) * width for l in range(l_out + 1)], width

    def forward(self, sent, factors, geometry):
        """Map [E, (l_in + 1)², width] to [E, (l_out + 1)², width], given the harmonics of the edges."""
        blocks = torch.split(sent, self.sizes, dim=1)
        flat = [(x * factors[:, l : l + 1]).transpose(1, 2).flatten(1) for l, x in enumerate(blocks)]
        y = geometry[0][:, : self.product.irreps_in2.dim]
        out = torch.split(self.mix(self.product(torch.cat(flat, dim=1), y)), self.sizes_out, dim=1)
        return torch.cat([x.unflatten(1, (self.width, -1)).transpose(1, 2) for x in out], dim=1)


class E3nnGeometry(torch.nn.Module):
    """The harmonics that it couples with."""

    def __init__(self, l_max):
        super().__init__()
        self.degrees = list(range(2 * l_max + 1))

    def forward(self, directions):
        """Map [E, 3] to [E, (2 l_max + 1)²]."""
        return [o3.spherical_harmonics(self.degrees, directions, normalize=False, normalization="component")]


def with_e3nn(model, l_max):
    """Return the network with its convolutions done by e3nn."""
    model.geometry = E3nnGeometry(l_max)
    for layer in model.layers:
        if layer.convolution is not None and layer.l_max > 0:
            layer.convolution = E3nnConvolution(layer.l_in, layer.l_max, layer.width)
    return model


def convolutions_alone(l_max, m_max, width, directions):
    """Return the steps of so2, cg and e3nn's product on random features of as many edges."""
    n = len(directions)

    def twice(module, edges):
        def step():
            vectors = directions.clone().requires_grad_(True)
            sent, factors = (torch.randn(n, k, width, requires_grad=True) for k in ((l_max + 1) ** 2, l_max + 1))
            out = module(sent * 1.0, factors * 1.0, edges(vectors * 1.0))
            gradients = torch.autograd.grad(out.square().sum(), [vectors, sent, factors], create_graph=True)
            loss = sum(x.square().sum() for x in gradients)
            loss.backward(inputs=[sent, factors, *module.parameters()])

        return step

    steps = [
        twice(convolution(kind, l_max, l_max, m_max, width), geometry(kind, l_max, m_max)) for kind in ("so2", "cg")
    ]
    return [*steps, twice(E3nnConvolution(l_max, l_max, width), E3nnGeometry(l_max))]


def network(kind, l_max, arguments):
    """Return a training step of a network with that convolution, its batch, and its operations per edge by the meter.

    Operations are None for e3nn's.
    """
    torch.set_num_threads(1)
    keep_freed_memory()
    store = open_store(arguments.store)
    dataset = DatasetInfo(elements=tuple(sorted(store.manifest.reference_energies)), scale=store.manifest.rms_force)
    objective = Objective(rms_energy=store.manifest.rms_energy, rms_force=store.manifest.rms_force)
    graphs = load_graphs(store, store.subset(max(arguments.structures, 64)), 5.0)
    batch = graphs.batch(np.arange(arguments.structures))
    size = {"width": arguments.width, "depth": arguments.depth, "l_max": l_max, "correlation": 1}
    size |= {"convolution": "so2", "m_max": arguments.m_max} if kind == "so2" else {"convolution": "cg"}
    model = create("tensor", size, "conservative", dataset, 0).train()
    operations = None
    if kind == "e3nn":
        model = with_e3nn(model, l_max)
    else:
        operations = measure_cost(model, graphs, objective, 100).flops_per_edge
    return lambda: differentiate(objective.loss(model(batch), batch), list(model.parameters())), batch, operations


def alone(kind, l_max, arguments):
    """Return the median processor seconds of a step, and its operations per edge, in this process."""
    step, _, operations = network(kind, l_max, arguments)
    (times,) = seconds([step], arguments.rounds)
    return statistics.median(times), operations


def main() -> None:
    """Print a line for each degree, the exponents, and e3nn's product beside ours."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", default="runs/quickstart/data")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--degrees", type=int, nargs="+", default=DEGREES)
    parser.add_argument("--m-max", type=int, default=4, help="of so2")
    parser.add_argument("--structures", type=int, default=8, help="of a batch")
    parser.add_argument("--rounds", type=int, default=15, help="steps of a process")
    parser.add_argument("--repeats", type=int, default=3, help="processes of each network")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not Path(arguments.store).exists():
        make_store(Path(arguments.store), structures=500)
    batch = network("so2", 1, arguments)[1]
    print(
        f"width {arguments.width}, {arguments.depth} layers, correlation 1, conservative forces; batch of "
        f"{arguments.structures} structures, {len(batch.numbers)} atoms, {len(batch.senders)} edges; processor seconds"
    )
    print(" l   so2    cg  e3nn struct./s  cg/so2 e3nn/so2   so2 op./edge    cg op./edge")
    counted = {"so2": [], "cg": []}
    ratio = 0.0
    for l_max in arguments.degrees:
        times = {"so2": [], "cg": [], "e3nn": []}
        for _ in range(arguments.repeats):
            for kind, of in times.items():
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                    median, operations = process.submit(alone, kind, l_max, arguments).result()
                of.append(median)
                if kind in counted and len(of) == 1:
                    counted[kind].append(operations)
        speeds = (arguments.structures / statistics.median(of) for of in times.values())
        ratio, theirs = (
            statistics.median(slow / fast for fast, slow in zip(times["so2"], times[kind], strict=True))
            for kind in ("cg", "e3nn")
        )
        print(
            f"{l_max:2d} {' '.join(f'{speed:5.0f}' for speed in speeds)} {ratio:16.2f} {theirs:8.2f} "
            f"{counted['so2'][-1]:14,.0f} {counted['cg'][-1]:14,.0f}",
            flush=True,
        )
    degrees = np.array(arguments.degrees, dtype=float)
    for kind, operations in counted.items() if len(degrees) > 1 else ():
        in_l, in_next = (np.polyfit(np.log(x), np.log(operations), 1)[0] for x in (degrees, degrees + 1))
        last = np.log(operations[-1] / operations[-2]) / np.log(degrees[-1] / degrees[-2])
        print(
            f"{kind}: operations per edge grow as l^{in_l:.2f}, (l + 1)^{in_next:.2f}; by the last two as l^{last:.2f}"
        )
    print(f"so2 over cg at l = {arguments.degrees[-1]}: {ratio:.2f} (at least 4 at l = 4)")
    vectors = batch.vectors()
    directions = vectors / vectors.norm(dim=1, keepdim=True)
    print(
        "\nthe convolution alone, with both backward passes, milliseconds, and operations counted as the meter counts"
    )
    for l_max in arguments.degrees:
        steps = convolutions_alone(l_max, arguments.m_max, arguments.width, directions)
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
