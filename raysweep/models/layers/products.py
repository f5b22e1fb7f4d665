"""Products at the atoms: many-body correlation of `tensor`, after the atomic cluster expansion (arXiv 1803.04764)."""

import torch
from torch import nn

from raysweep.models.layers.blocks import DegreeLinear, Linear, gather
from raysweep.models.layers.harmonics import Path, pair_coupling, pair_paths, square_coupling, square_paths
from raysweep.models.layers.operations import transposed


class Coupling(nn.Module):
    """All natural-parity products of two features [(l_max + 1)², A, width], channel by channel, up to degree l_out.

    Products of components whose degrees sum to an even number couple to even degrees, others to odd degrees: two
    matrix products, each of half the rows and columns.

    Args:
        paths, left, right, coupling: of `square_coupling` or `pair_coupling`.
        l_out: highest degree of the products.
        scale: factor of all products.

    Attributes:
        n_paths: number of paths to each degree up to l_out.
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
        n = 1 + int(max(left.max(), right.max()))
        self.n_paths = [sum(path[2] == l for path in paths) for l in range(l_out + 1)]
        kept = [path[2] for path in paths if path[2] <= l_out]
        degree = torch.cat([torch.full((2 * l + 1,), l) for l in kept])
        coupling = coupling[:, : len(degree)].to(torch.get_default_dtype()) * scale
        for parity in range(min(l_out, 1) + 1):
            part = coupling[:, degree % 2 == parity]
            used = part.abs().amax(dim=1) > 0
            # None: all components in order, as with l_max 1; no gather is needed.
            for side, index in (("left", left[used]), ("right", right[used])):
                everything = torch.equal(index, torch.arange(n))
                self.register_buffer(f"{side}_{parity}", None if everything else index, persistent=False)
            self.register_buffer(f"coupling_{parity}", part[used].T.contiguous(), persistent=False)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> list[torch.Tensor]:
        """Compute for each degree the products of all its paths, [2l + 1, A, paths · width]."""
        products: list[list[torch.Tensor]] = []
        for parity in range(min(len(self.n_paths) - 1, 1) + 1):
            left, right, coupling = (getattr(self, f"{name}_{parity}") for name in ("left", "right", "coupling"))
            pairs = (a if left is None else gather(a, left)) * (b if right is None else gather(b, right))
            coupled = torch.unflatten(coupling @ pairs.flatten(1), 1, a.shape[1:])
            sizes = [n * (2 * l + 1) for l, n in enumerate(self.n_paths) if l % 2 == parity]
            products.append(list(torch.split(coupled, sizes)))
        # [paths · m, A, width] to [m, A, paths · width]
        return [
            torch.unflatten(products[l % 2][l // 2], 0, (n, 2 * l + 1)).permute(1, 2, 0, 3).flatten(2)
            for l, n in enumerate(self.n_paths)
        ]


def squares(l_max: int, l_out: int, scale: float = 1.0) -> Coupling:
    """The products of a feature with itself."""
    return Coupling(square_paths(l_max), *square_coupling(l_max), l_out, scale)


def pairs(l_max: int, l_out: int, scale: float = 1.0) -> Coupling:
    """The products of two different features."""
    return Coupling(pair_paths(l_max), *pair_coupling(l_max), l_out, scale)


class AtomProduct(nn.Module):
    """Mixes the channels of a sum over neighbours and of its products with itself, up to order `correlation`.

    Order 2 couples the sum a [A, (l_max + 1)², width] with itself, channel by channel; order 3 couples the mixed
    result of order 2 with a once more. Every product is scaled by `scale`: neighbours are alike, so their messages add
    up instead of averaging out, and squares of sums of n like terms, each divided by sqrt(n), are of the order n.
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
        # Scalars also give a gate for every higher degree.
        self.scalars = Linear(n_terms[0] * width, width * (l_out + 1))
        self.mixes = nn.ModuleList()
        if last is not None:
            self.mixes.extend(Linear(n * width, width, bias=False) for n in n_terms[1:])
        elif l_out > 0:
            self.mixes.append(DegreeLinear(range(1, l_out + 1), width, width))

    def forward(self, total: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Mix a sum [A, (l_max + 1)², width].

        Returns:
            scalars: [A, (l_out + 1) · width], of degree 0 and then, of each higher degree, its gate.
            tensors: [(l_out + 1)² - 1, A, width], of degrees 1 to l_out; None where l_out is 0.
        """
        a = transposed(total)
        if self.squares is None:
            scalars, *higher = torch.split(a, [1, len(a) - 1]) if self.mixes else (a,)
            return self.scalars(scalars[0]), self.mixes[0](higher[0]) if self.mixes else None
        terms = [torch.cat(pair, dim=2) for pair in zip(torch.split(a, self.sizes), self.squares(a, a), strict=False)]
        if self.pairs is not None:
            second = [mix(x) for mix, x in zip(self.square_mixes, terms, strict=True)]
            terms = [torch.cat(pair, dim=2) for pair in zip(second, self.pairs(torch.cat(second), a), strict=False)]
        tensors = [mix(x) for mix, x in zip(self.mixes, terms[1:], strict=True)]
        return self.scalars(terms[0][0]), torch.cat(tensors) if tensors else None
