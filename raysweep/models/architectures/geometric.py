"""PyTorch Geometric's networks on raysweep's edges: the common part of `schnet`, `dimenetpp` and `visnet`.

Their building blocks are torch_geometric's own, called with our edges and vectors, so that periodic images and
conservative forces work without their neighbour search. They differ from the originals:

* embeddings have a row for each element in the data, as in raysweep's networks, instead of a hundred;
* linear layers start at N(0, 1 / fan_in) with biases of 0, and the output layer at N(0, 1 / fan_in²), as muP requires;
* reference energies and the readout of whole structures are raysweep's.

tests/models/test_torch_geometric_api.py names each part of torch_geometric that they use.
"""

import warnings

from torch import nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch_geometric.nn.models import dimenet, dimenet_utils, schnet, visnet

__all__ = ["dimenet", "dimenet_utils", "reset", "schnet", "visnet"]


def reset(module: nn.Module, out: nn.Linear | None = None) -> None:
    """Reinitialise all weights of linear layers from N(0, 1 / fan_in), those of `out` from N(0, 1 / fan_in²)."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=layer.in_features ** (-1.0 if layer is out else -0.5))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
