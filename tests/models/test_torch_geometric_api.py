"""The parts of torch_geometric that the adapted networks reach into: a version that moves one fails by its name."""

import warnings
from functools import cache
from operator import attrgetter

import pytest
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from raysweep.models.architectures.geometric import dimenet, dimenet_utils, schnet, visnet

PARTS = {
    "dimenet": ["BesselBasisLayer"],
    "dimenet_utils": ["Jn", "Jn_zeros"],
    "SchNet": ["embedding", "distance_expansion", "interactions", "lin1", "lin2", "act"],
    "EmbeddingBlock": ["emb", "lin"],
    "InteractionPPBlock": ["lin_rbf2", "lin_sbf2"],
    "OutputPPBlock": ["lin", "lin_rbf"],
    "ViSNetBlock": [
        *("embedding", "distance_expansion", "sphere", "edge_embedding", "out_norm", "vec_out_norm"),
        *("neighbor_embedding.embedding", "neighbor_embedding.distance_proj", "neighbor_embedding.cutoff"),
        *("neighbor_embedding.propagate", "neighbor_embedding.combine"),
    ],
    "ViSNetBlock.vis_mp_layers.0": [
        *("q_proj", "k_proj", "dk_proj", "dv_proj", "s_proj", "vec_proj", "last_layer"),
        *("f_proj", "w_src_proj", "w_trg_proj"),
    ],
    "EquivariantScalar.output_network.0": ["vec1_proj", "vec2_proj", "update_net", "out_channels"],
}


@cache
def owners() -> dict[str, object]:
    act = torch.nn.functional.silu
    return {
        "dimenet": dimenet,
        "dimenet_utils": dimenet_utils,
        "SchNet": schnet.SchNet(8, 8, 1, 8, 5.0),
        "EmbeddingBlock": dimenet.EmbeddingBlock(4, 8, act),
        "InteractionPPBlock": dimenet.InteractionPPBlock(8, 4, 8, 3, 4, 1, 2, act),
        "OutputPPBlock": dimenet.OutputPPBlock(4, 8, 16, 1, 3, act),
        "ViSNetBlock": visnet.ViSNetBlock(lmax=1, num_heads=1, num_layers=2, hidden_channels=8, num_rbf=8, cutoff=5.0),
        "EquivariantScalar": visnet.EquivariantScalar(8),
    }


@pytest.mark.parametrize(("owner", "part"), [(owner, part) for owner, parts in PARTS.items() for part in parts])
def test_torch_geometric_still_has(owner: str, part: str) -> None:
    name, _, path = owner.partition(".")
    found = owners()[name]
    for step in path.split(".") if path else ():
        found = found[int(step)] if step.isdigit() else getattr(found, step)  # type: ignore[index]
    attrgetter(part)(found)
