"""One force field's training steps, timed: `python peers_speed_worker.py PACKAGE CASE FILE`, run by peers_speed.py.

Runs in the environment of the package that it measures, so it imports nothing of raysweep for the others. FILE holds
the batches; CASE is JSON. Prints JSON: structures per second of each round, and parameters.
"""

import json
import logging
import sys
import time
import warnings

import numpy as np
import torch

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
CUTOFF = 5.0


def mace(case, batches):
    """Return a step on each batch, and the network."""
    from e3nn import o3
    from mace import modules

    elements = np.unique(np.concatenate([batch["numbers"] for batch in batches]))
    model = modules.ScaleShiftMACE(
        r_max=CUTOFF, num_bessel=8, num_polynomial_cutoff=6, max_ell=case["l_max"],
        interaction_cls=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
        interaction_cls_first=modules.interaction_classes["RealAgnosticInteractionBlock"],
        num_interactions=case["layers"], num_elements=len(elements), hidden_irreps=o3.Irreps(case["irreps"]),
        MLP_irreps=o3.Irreps("16x0e"), atomic_energies=np.zeros(len(elements)), avg_num_neighbors=10.0,
        atomic_numbers=elements.tolist(), correlation=case["correlation"], gate=torch.nn.functional.silu,
        atomic_inter_scale=1.0, atomic_inter_shift=0.0,
    )  # fmt: skip

    def compute(batch):
        n, n_atoms = len(batch["n_atoms"]), torch.tensor(batch["n_atoms"])
        edges = torch.tensor(np.stack([batch["senders"], batch["receivers"]]))
        data = {
            "positions": torch.tensor(batch["positions"]),
            "node_attrs": torch.eye(len(elements))[torch.tensor(np.searchsorted(elements, batch["numbers"]))],
            "edge_index": edges,
            "shifts": torch.zeros(edges.shape[1], 3),
            "unit_shifts": torch.zeros(edges.shape[1], 3),
            "cell": torch.zeros(3 * n, 3),
            "batch": torch.repeat_interleave(torch.arange(n), n_atoms),
            "ptr": torch.cat([torch.zeros(1, dtype=torch.int64), n_atoms.cumsum(0)]),
            "head": torch.zeros(n, dtype=torch.int64),
        }

        def predict():
            out = model({**data, "positions": data["positions"].clone()}, training=True, compute_force=True)
            return out["energy"], out["forces"]

        return predict

    return model, [compute(batch) for batch in batches]


def nequip(case, batches):
    """Return a step on each batch, and the network."""
    from nequip.model import NequIPGNNModel
    from nequip.utils.global_state import set_global_state

    set_global_state()
    elements = np.unique(np.concatenate([batch["numbers"] for batch in batches]))
    names = {1: "H", 6: "C", 7: "N", 8: "O", 9: "F"}
    model = NequIPGNNModel(
        seed=0, model_dtype="float32", r_max=CUTOFF, type_names=[names[number] for number in elements],
        num_layers=case["layers"], l_max=case["l_max"], parity=False, num_features=case["channels"],
        avg_num_neighbors=10.0,
    )  # fmt: skip

    def compute(batch):
        n_atoms = torch.tensor(batch["n_atoms"])
        data = {
            "pos": torch.tensor(batch["positions"]),
            "edge_index": torch.tensor(np.stack([batch["receivers"], batch["senders"]])),
            "atom_types": torch.tensor(np.searchsorted(elements, batch["numbers"])),
            "batch": torch.repeat_interleave(torch.arange(len(n_atoms)), n_atoms),
            "num_atoms": n_atoms,
        }

        def predict():
            out = model({**data, "pos": data["pos"].clone()})
            return out["total_energy"].squeeze(1), out["forces"]

        return predict

    return model, [compute(batch) for batch in batches]


def raysweep(case, batches):
    """Return a step on each batch, and the network."""
    from raysweep.data.graphs.batches import Batch
    from raysweep.models.base import DatasetInfo
    from raysweep.models.registry import create
    from raysweep.training.device.memory import keep_freed_memory

    # As its training does.
    keep_freed_memory()
    elements = np.unique(np.concatenate([batch["numbers"] for batch in batches]))
    size = {"width": case["channels"], "depth": case["layers"], "l_max": case["l_max"], "cutoff": CUTOFF}
    model = create(
        "tensor", {**size, **case["knobs"]}, "conservative",
        DatasetInfo(elements=tuple(elements.tolist()), scale=1.0), 0,
    )  # fmt: skip

    def compute(batch):
        n_atoms = torch.tensor(batch["n_atoms"])
        graph = Batch(
            numbers=torch.tensor(batch["numbers"]), positions=torch.tensor(batch["positions"]),
            structure=torch.repeat_interleave(torch.arange(len(n_atoms)), n_atoms), n_atoms=n_atoms.float(),
            senders=torch.tensor(batch["senders"]), receivers=torch.tensor(batch["receivers"]), shifts=None,
            energy=torch.tensor(batch["energy"]), forces=torch.tensor(batch["forces"]),
        )  # fmt: skip

        def predict():
            out = model(graph)
            return out.energy, out.forces

        return predict

    return model, [compute(batch) for batch in batches]


def main() -> None:
    """Time rounds over all batches; the first round is not counted."""
    package, case, file = sys.argv[1], json.loads(sys.argv[2]), np.load(sys.argv[3])
    torch.set_num_threads(1)
    batches = [
        {key.split("/")[1]: file[key] for key in file.files if key.startswith(f"{i}/")} for i in range(case["batches"])
    ]
    model, steps = {"mace": mace, "nequip": nequip, "raysweep": raysweep}[package](case, batches)
    model.train()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    # None: all leaves, positions included.
    inputs = weights if package == "raysweep" or case["weights_only"] else None
    speeds = []
    for _ in range(case["rounds"] + 1):
        wall, began = time.perf_counter(), time.process_time()
        for batch, predict in zip(batches, steps, strict=True):
            energy, forces = predict()
            loss = (energy - torch.tensor(batch["energy"])).abs().mean()
            loss = loss + (forces - torch.tensor(batch["forces"])).square().sum(dim=1).add(1e-12).sqrt().mean()
            loss.backward(inputs=inputs)
            model.zero_grad(set_to_none=True)
        n = sum(len(batch["n_atoms"]) for batch in batches)
        speeds.append((n / (time.process_time() - began), n / (time.perf_counter() - wall)))
    parameters = sum(weight.numel() for weight in weights)
    print(json.dumps({"speeds": speeds[1:], "parameters": parameters}))


if __name__ == "__main__":
    main()
