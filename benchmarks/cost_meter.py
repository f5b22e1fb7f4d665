"""The cost meter against a count from shapes and calculus: `python benchmarks/cost_meter.py`.

For every family, several widths and degrees, both force modes, on a real batch: matrix products and tensor contractions
of one training step as the meter counts them, over `analytic_cost.count`. Beside it the elementwise work that the meter
adds, and what torch's own counter sees of the whole. The store is made where it is absent.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import torch
from analytic_cost import count
from torch.utils.flop_counter import FlopCounterMode

from raysweep.data.generation.xtb import make_store
from raysweep.data.graphs.batches import load_graphs
from raysweep.data.store.store import open_store
from raysweep.models.base import DatasetInfo
from raysweep.models.registry import create
from raysweep.training.cost.flops import FlopMeter
from raysweep.training.objective import Objective, differentiate

FAMILIES = {
    "mpnn": ("mpnn", {}),
    "egnn": ("egnn", {}),
    "gemnet 3-body": ("gemnet", {"body_order": 3}),
    "gemnet 4-body": ("gemnet", {"body_order": 4}),
    **{f"tensor l={l}": ("tensor", {"l_max": l}) for l in (1, 2, 3, 4)},
    **{f"tensor l={l} nu=3": ("tensor", {"l_max": l, "correlation": 3}) for l in (1, 2)},
    **{f"tensor l={l} {c}": ("tensor", {"l_max": l, "convolution": c}) for c in ("so2", "cg") for l in (1, 2, 4)},
    "tensor l=4 so2 m=2": ("tensor", {"l_max": 4, "m_max": 2, "convolution": "so2"}),
    "hybrid": ("hybrid", {"layers": "invariant tensor"}),
    "schnet": ("schnet", {}),
    "dimenetpp": ("dimenetpp", {}),
    "visnet": ("visnet", {}),
}
WIDTHS = (8, 32)


def main() -> None:
    """Print a line for each network, then the largest difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", default="runs/quickstart/data")
    parser.add_argument("--structures", type=int, default=16)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not Path(arguments.store).exists():
        make_store(Path(arguments.store), structures=500)
    store = open_store(arguments.store)
    dataset = DatasetInfo(elements=tuple(sorted(store.manifest.reference_energies)), scale=store.manifest.rms_force)
    objective = Objective(rms_energy=store.manifest.rms_energy, rms_force=store.manifest.rms_force)
    rows = np.arange(arguments.structures)
    batch = load_graphs(store, store.subset(arguments.structures), 5.0).batch(rows)
    print(
        f"{'network':24s} {'width':>5s} {'forces':12s} {'products':>10s} {'meter/shapes':>12s} {'whole':>10s} torch's"
    )
    worst = 0.0
    for label, (architecture, knobs) in FAMILIES.items():
        for width in WIDTHS:
            for forces in ("direct", "conservative"):
                model = create(architecture, {"width": width, **knobs}, forces, dataset, 0).train()

                def step(model=model):
                    differentiate(objective.loss(model(batch), batch), list(model.parameters()))

                with FlopMeter() as meter:
                    step()
                with FlopCounterMode(display=False) as torchs, warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    step()
                ratio = meter.products / count(model, batch)
                worst = max(worst, abs(ratio - 1))
                print(
                    f"{label:24s} {width:5d} {forces:12s} {meter.products:10.3e} {ratio:12.4f} {meter.total:10.3e} "
                    f"{torchs.get_total_flops() / meter.total:6.0%}"
                )
    print(f"largest difference {worst:.2%} (at most 2 %)")


if __name__ == "__main__":
    main()
