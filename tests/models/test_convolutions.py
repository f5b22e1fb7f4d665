"""Convolutions in the edge's frame and by the full tensor product: the same functions, against e3nn and each other."""

import math

import pytest
import torch
from e3nn import o3
from torch.utils.flop_counter import FlopCounterMode

from raysweep.core.errors import SpaceError
from raysweep.models.layers.convolutions import (
    CgConvolution,
    EdgeCouplings,
    EdgeFrames,
    ScalarConvolution,
    So2Convolution,
    by_order,
    convolution,
    geometry,
)
from raysweep.models.layers.harmonics import EvenHarmonics, edge_paths, half_turn
from raysweep.models.layers.operations import rotate
from tests.models.molecules import force_field, random_batch

POLAR = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
AXES = torch.cat([torch.eye(3), -torch.eye(3)]).to(torch.float64)
DEGREES = (1, 2, 3, 4)
WIDTH = 3


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def directions(n=40, seed=0):
    vectors = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))
    return torch.cat([vectors / vectors.norm(dim=1, keepdim=True), AXES])


def senders(l_max, n, seed=1):
    return torch.randn(n, (l_max + 1) ** 2, WIDTH, generator=torch.Generator().manual_seed(seed))


def edge_factors(l_max, n, seed=2):
    return torch.randn(n, l_max + 1, WIDTH, generator=torch.Generator().manual_seed(seed))


def harmonics(l, vectors):
    return o3.spherical_harmonics(l, vectors, normalize=True, normalization="component")


@pytest.mark.parametrize("l", DEGREES)
def test_half_turns_equal_the_representations_of_e3nn(l):
    axes = directions()
    even = torch.cat([harmonics(k, axes) for k in range(0, 2 * l + 1, 2)], dim=1)
    turns = 2 * axes.unsqueeze(2) * axes.unsqueeze(1) - torch.eye(3)
    theirs = o3.Irrep(l, (-1) ** l).D_from_matrix(turns)
    assert torch.allclose((even @ half_turn(l)).view_as(theirs), theirs, atol=1e-10)


def blocks(frame, l_max):
    """D_0, ..., D_l_max out of the matrix whose rows are sorted by order, checked to hold nothing else."""
    rows, rest, found = by_order(l_max, l_max), frame.clone(), []
    for l in range(l_max + 1):
        index = [rows.index((l, m)) for m in range(-l, l + 1)]
        found.append(frame[:, index, l * l : (l + 1) ** 2])
        rest[:, index, l * l : (l + 1) ** 2] = 0.0
    assert not rest.any()
    return found


def test_frames_are_orthogonal_and_take_every_direction_to_the_polar_axis():
    edges = directions()
    (whole,) = EdgeFrames(4, 4)(edges)
    frames = blocks(whole, 4)
    for l, frame in enumerate(frames):
        assert torch.allclose(frame @ frame.transpose(1, 2), torch.eye(2 * l + 1).expand_as(frame), atol=1e-12)
        turned = (frame @ harmonics(l, edges).unsqueeze(2)).squeeze(2)
        assert torch.allclose(turned, harmonics(l, POLAR).expand_as(turned), atol=1e-12)
        # e3nn's l = 1 basis is (x, y, z) itself.
        theirs = o3.Irrep(l, (-1) ** l).D_from_matrix(frames[1])
        assert torch.allclose(frame, theirs, atol=1e-10)


def couplings_along_the_axis(l1, l3):
    """[orders, paths]: by how much each path of e3nn's couplings multiplies the components m and -m of l1 into l3.

    On an edge along the polar axis a path is diagonal: it multiplies component m by a number, the same for m and -m.
    """
    columns = []
    for l2 in range(abs(l1 - l3), l1 + l3 + 1, 2):
        matrix = torch.einsum("abc,b->ac", o3.wigner_3j(l1, l2, l3, dtype=torch.float64), harmonics(l2, POLAR))
        matrix = matrix * math.sqrt(2 * l3 + 1)
        orders = range(min(l1, l3) + 1)
        diagonal = torch.stack([matrix[l1 + m, l3 + m] for m in orders])
        assert torch.allclose(diagonal, torch.stack([matrix[l1 - m, l3 - m] for m in orders]), atol=1e-12)
        columns.append(diagonal)
    return torch.stack(columns, dim=1)


def give_the_weights_of(cg, so2):
    """Give `so2` the weights that span the same function as those of `cg`."""
    for mix in so2.mixes:
        mix.weight.data.zero_()
    for l3, mix in enumerate(cg.mixes):
        of_paths = iter(mix.weight.data.unflatten(0, (-1, WIDTH)))
        for l1 in range(cg.l_in + 1):
            factors = couplings_along_the_axis(l1, l3)
            paths = torch.stack([next(of_paths) for _ in range(factors.shape[1])])
            for m, weight in enumerate(torch.einsum("mp,puv->muv", factors, paths)):
                rows, columns = ((l - m) * WIDTH for l in (l1, l3))
                so2.mixes[m].weight.data[rows : rows + WIDTH, columns : columns + WIDTH] = weight


@pytest.mark.parametrize(("l_in", "l_out"), [(1, 1), (2, 2), (3, 3), (4, 4), (4, 1), (3, 0), (2, 1), (4, 3)])
def test_the_frame_of_the_edge_and_the_full_tensor_product_span_the_same_functions(l_in, l_out):
    edges = directions()
    sent, factors = senders(l_in, len(edges)), edge_factors(l_in, len(edges))
    cg, so2 = CgConvolution(l_in, l_out, WIDTH), So2Convolution(l_in, l_out, l_in, WIDTH)
    assert sum(weight.numel() for weight in cg.parameters()) == sum(weight.numel() for weight in so2.parameters())
    give_the_weights_of(cg, so2)
    theirs = cg(sent, factors, EdgeCouplings(l_in)(edges))
    ours = so2(sent, factors, EdgeFrames(l_in, l_in)(edges))
    assert ours.shape == (len(edges), (l_out + 1) ** 2, WIDTH)
    assert torch.allclose(ours, theirs, atol=1e-10, rtol=0)


@pytest.mark.parametrize("m_max", [0, 1, 2, 3, 4, 6])
@pytest.mark.parametrize("l_out", [4, 2])
def test_orders_above_m_max_are_left_out(l_out, m_max):
    edges = directions()
    sent, factors = senders(4, len(edges)), edge_factors(4, len(edges))
    some, whole = So2Convolution(4, l_out, m_max, WIDTH), So2Convolution(4, l_out, 4, WIDTH)
    for m, mix in enumerate(whole.mixes):
        mix.weight.data = some.mixes[m].weight.data if m <= m_max else torch.zeros_like(mix.weight)
    ours = some(sent, factors, EdgeFrames(4, m_max)(edges))
    assert torch.allclose(ours, whole(sent, factors, EdgeFrames(4, 4)(edges)), atol=1e-12)
    assert len(some.mixes) == min(m_max, l_out) + 1


def test_products_in_frames_leave_out_derivatives_that_nobody_asks_for():
    frames = torch.randn(3, 4, 5, requires_grad=True)
    x = torch.randn(3, 5, 2, requires_grad=True)
    with FlopCounterMode(display=False) as both:
        rotate(frames * 1.0, x * 1.0).sum().backward()
    assert frames.grad is not None
    with FlopCounterMode(display=False) as one:
        rotate(frames * 1.0, x * 1.0).sum().backward(inputs=[x])
    assert both.get_total_flops() == 3 * one.get_total_flops() // 2


@pytest.mark.parametrize("l_in", DEGREES)
def test_scalar_messages_are_those_of_both_convolutions(l_in):
    edges = directions()
    sent, factors = senders(l_in, len(edges)), edge_factors(l_in, len(edges))
    y = torch.cat([harmonics(l, edges) for l in range(l_in + 1)], dim=1)
    scalar, cg, so2 = (
        ScalarConvolution(l_in, WIDTH),
        CgConvolution(l_in, 0, WIDTH),
        So2Convolution(l_in, 0, l_in, WIDTH),
    )
    so2.load_state_dict(scalar.state_dict())
    cg.load_state_dict(scalar.state_dict())
    ours = scalar(sent, factors, y)
    assert torch.allclose(ours, so2(sent, factors, EdgeFrames(l_in, l_in)(edges)), atol=1e-12)
    # The coupling of l with l to a scalar has e3nn's sign.
    signs = [float(couplings_along_the_axis(l, 0).sign()) for l in range(l_in + 1)]
    theirs = cg(sent, factors * torch.tensor(signs).unsqueeze(1), EdgeCouplings(l_in)(edges))
    assert torch.allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize("l_max", [0, 2, 4, 8])
def test_even_harmonics_equal_those_of_e3nn(l_max):
    edges = directions()
    theirs = torch.cat([harmonics(l, edges) for l in range(0, l_max + 1, 2)], dim=1)
    assert torch.allclose(EvenHarmonics(l_max)(edges), theirs, atol=1e-12)


@pytest.mark.parametrize("l1", range(5))
@pytest.mark.parametrize("l3", range(5))
def test_the_map_between_the_weights_is_invertible(l1, l3):
    n = min(l1, l3) + 1
    assert torch.linalg.matrix_rank(couplings_along_the_axis(l1, l3)) == n
    assert couplings_along_the_axis(l1, l3).shape == (n, n)


@pytest.mark.parametrize("l_max", [1, 3])
def test_the_full_tensor_product_equals_that_of_e3nn(l_max):
    edges = directions()
    sent, factors = senders(l_max, len(edges)), edge_factors(l_max, len(edges))
    paths = sorted(edge_paths(l_max, l_max), key=lambda path: (path[1], path))
    # e3nn computes in the default dtype at the time of making; components of a degree lie next to each other there.
    product = o3.TensorProduct(
        o3.Irreps([(WIDTH, (l, (-1) ** l)) for l in range(l_max + 1)]),
        o3.Irreps([(1, (l, (-1) ** l)) for l in range(2 * l_max + 1)]),
        o3.Irreps([(WIDTH, (l, (-1) ** l)) for l in range(l_max + 1)]),
        [(l1, l2, l3, "uvw", True) for l1, l3, l2 in paths],
        irrep_normalization="component", path_normalization="element", internal_weights=False, shared_weights=True,
    )  # fmt: skip
    ours = CgConvolution(l_max, l_max, WIDTH)
    # Theirs divides by the root of the fan-in, which ours draws its weights with.
    weights = torch.cat([mix.weight.data.flatten() * math.sqrt(len(mix.weight)) for mix in ours.mixes])
    y = torch.cat([harmonics(l, edges) for l in range(2 * l_max + 1)], dim=1)
    weighed = sent * factors[:, [l for l in range(l_max + 1) for _ in range(2 * l + 1)]]

    def flat(x):
        parts = torch.split(x, [2 * l + 1 for l in range(l_max + 1)], dim=1)
        return torch.cat([part.transpose(1, 2).flatten(1) for part in parts], dim=1)

    theirs = product(flat(weighed), y, weights)
    assert torch.allclose(flat(ours(sent, factors, EdgeCouplings(l_max)(edges))), theirs, atol=1e-10)


@pytest.mark.parametrize(("kind", "m_max"), [("so2", 2), ("so2", 1), ("cg", 2)])
def test_second_derivatives_are_finite_and_right_along_the_axes_and_at_the_seam(kind, m_max):
    module = geometry(kind, 2, m_max)
    # The seam between the two charts is the plane y = 0, where x and z lie.
    vectors = torch.cat([AXES, torch.tensor([[0.6, 1e-9, 0.8], [0.6, -1e-9, 0.8]])]).requires_grad_(True)
    torch.manual_seed(3)
    sent, weigh = senders(2, len(vectors)).requires_grad_(True), convolution(kind, 2, 2, m_max, WIDTH)
    factors = edge_factors(2, len(vectors)).requires_grad_(True)

    def energy(x, features, weights):
        out = weigh(features, weights, module(x / x.norm(dim=1, keepdim=True)))
        return (out * out.cos()).sum()

    assert torch.autograd.gradcheck(energy, (vectors, sent, factors), atol=1e-6)
    assert torch.autograd.gradgradcheck(energy, (vectors, sent, factors), atol=1e-5)


@pytest.mark.parametrize("kind", ["so2", "cg"])
def test_messages_are_of_unit_variance(kind):
    edges, width = directions(400), 64
    torch.manual_seed(4)
    sent, factors = torch.randn(len(edges), 25, width), torch.randn(len(edges), 5, width)
    messages = convolution(kind, 4, 4, 4, width)(sent, factors, geometry(kind, 4, 4)(edges))
    for message in torch.split(messages, [1, 3, 5, 7, 9], dim=1):
        assert 0.7 < float(message.detach().square().mean()) < 1.4


def test_degree_zero_and_a_single_layer_need_no_frames():
    for knobs in ({"l_max": 0}, {"depth": 1}):
        for correlation in (1, 2, 3):
            model = force_field("tensor-l1", "conservative", convolution="so2", correlation=correlation, **knobs)
            assert torch.isfinite(model(random_batch()).forces).all()


def test_tensors_that_nothing_would_couple_are_refused():
    with pytest.raises(SpaceError, match="correlation"):
        force_field("tensor-l1", "direct", convolution="sparse", correlation=1)
