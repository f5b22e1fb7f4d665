"""Batches whose geometry is in double precision, whatever the precision of the network."""

from dataclasses import dataclass

import torch

from raysweep.data.graphs.batches import Batch


@dataclass(frozen=True, kw_only=True)
class WideBatch(Batch):
    """A batch with positions, shifts and energies in float64; edge vectors are rounded to the network's precision.

    Differences of positions keep their digits far from the origin, and energies of many atoms are summed in float64.

    Attributes:
        dtype: precision of the network.
    """

    dtype: torch.dtype

    def vectors(self) -> torch.Tensor:
        """Edge vectors [E, 3] in Å, in the network's precision."""
        return super().vectors().to(self.dtype)


def widened(batch: Batch, device: torch.device, dtype: torch.dtype) -> WideBatch:
    """Convert a batch for a network of precision `dtype` on a device."""
    wide = batch.to(device, torch.float64)
    return WideBatch(**vars(wide), dtype=dtype)
