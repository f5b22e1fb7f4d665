"""Products at the atoms: many-body correlation of `tensor`, after the atomic cluster expansion (arXiv 1803.04764)."""

import torch
from torch import nn

from raysweep.models.blocks import Linear
from raysweep.models.harmonics import Path, pair_coupling, pair_paths, square_coupling, square_paths


class Coupling(nn.Module):
    """All natural-parity products of two features [A, width, (l_max + 1)²], channel by channel, of degrees to l_out.

    Products of components whose degrees sum to an even number couple to even degrees, others to odd degrees: two
    matrix products, each of half the rows and columns.

    Args:
        paths, left, right, coupling: of `square_coupling` or `pair_coupling`.
        l_out: highest degree of the products.
        scale: factor of all products.

    Attributes:
        n_paths: of each degree up to l_out.
    """

    def __init__(
        self,
        paths: tuple[Path, ...],
        left: torch.Tensor,
        right: torch.Tensor,
        coupling: torch.Tensor,
        l_out: int,
        scale: float,
    ) -> None:
        super().__init__()
        self.n_paths = [sum(path[2] == l for path in paths) for l in range(l_out + 1)]
        kept = [path[2] for path in paths if path[2] <= l_out]
        degree = torch.cat([torch.full((2 * l + 1,), l) for l in kept])
        coupling = coupling[:, : len(degree)].to(torch.get_default_dtype()) * scale
        for parity in range(min(l_out, 1) + 1):
            part = coupling[:, degree % 2 == parity]
            used = part.abs().amax(dim=1) > 0
            self.register_buffer(f"left_{parity}", left[used], persistent=False)
            self.register_buffer(f"right_{parity}", right[used], persistent=False)
            self.register_buffer(f"coupling_{parity}", part[used], persistent=False)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> list[torch.Tensor]:
        """Return for each degree the products of all its paths, [A, 2l + 1, paths · width]."""
        products: list[list[torch.Tensor]] = []
        for parity in range(min(len(self.n_paths) - 1, 1) + 1):
            left, right = getattr(self, f"left_{parity}"), getattr(self, f"right_{parity}")
            coupled = (a.index_select(2, left) * b.index_select(2, right)) @ getattr(self, f"coupling_{parity}")
            sizes = [n * (2 * l + 1) for l, n in enumerate(self.n_paths) if l % 2 == parity]
            products.append(list(torch.split(coupled, sizes, dim=2)))
        # [A, width, paths · m] to [A, m, paths · width]
        return [
            torch.unflatten(products[l % 2][l // 2], 2, (n, 2 * l + 1)).permute(0, 3, 2, 1).flatten(2)
            for l, n in enumerate(self.n_paths)
        ]


def squares(l_max: int, l_out: int, scale: float = 1.0) -> Coupling:
    """Return the products of a feature with itself."""
    return Coupling(square_paths(l_max), *square_coupling(l_max), l_out, scale)


def pairs(l_max: int, l_out: int, scale: float = 1.0) -> Coupling:
    """Return the products of two different features."""
    return Coupling(pair_paths(l_max), *pair_coupling(l_max), l_out, scale)


class AtomProduct(nn.Module):
    """Mixes the channels of a sum over neighbours and of its products with itself, up to the order of `correlation`.

    Order 2 couples the sum a [A, width, (l_max + 1)²] with itself, channel by channel; order 3 couples what order 2
    has mixed with a once more. Every product is scaled by `scale`: neighbours are alike, so what they send adds up
    rather than averages out, and squares of sums of n like terms, each divided by sqrt(n), are of the order n.
    """

    def __init__(self, width: int, l_max: int, l_out: int, correlation: int, scale: float) -> None:
        super().__init__()
        self.sizes = [2 * l + 1 for l in range(l_max + 1)]
        l_square = l_max if correlation == 3 else l_out
        self.squares = squares(l_max, l_square, scale) if correlation > 1 else None
        self.pairs = pairs(l_max, l_out, scale) if correlation == 3 else None
        self.square_mixes = nn.ModuleList()
        if correlation == 3:
            assert self.squares is not None
            self.square_mixes.extend(Linear((n + 1) * width, width, bias=False) for n in self.squares.n_paths)
        last = self.pairs or self.squares
        n_terms = [1 + n for n in last.n_paths] if last is not None else [1] * (l_out + 1)
        # Scalars also make a gate for every higher degree.
        self.mixes = nn.ModuleList(
            Linear(n * width, width * (l_out + 1 if l == 0 else 1), bias=l == 0) for l, n in enumerate(n_terms)
        )

    def forward(self, total: torch.Tensor) -> list[torch.Tensor]:
        """Map a sum [A, (l_max + 1)², width] to mixed blocks [A, 2l + 1, width] of degrees 0 to l_out.

        The gates are appended to the scalars' block.
        """
        a = torch.split(total, self.sizes, dim=1)
        if self.squares is None:
            return [mix(x) for mix, x in zip(self.mixes, a, strict=True)]
        whole = total.transpose(1, 2)
        products = self.squares(whole, whole)
        terms = [torch.cat([x, product], dim=2) for x, product in zip(a, products, strict=False)]
        if self.pairs is not None:
            second = [mix(x) for mix, x in zip(self.square_mixes, terms, strict=True)]
            products = self.pairs(torch.cat(second, dim=1).transpose(1, 2), whole)
            terms = [torch.cat([x, product], dim=2) for x, product in zip(second, products, strict=False)]
        return [mix(x) for mix, x in zip(self.mixes, terms, strict=True)]
