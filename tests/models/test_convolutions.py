"""Convolutions in the edge's frame and by the full tensor product: the same functions, against e3nn and each other."""

import math

import pytest
import torch
from e3nn import o3

from raysweep.errors import SpaceError
from raysweep.models.convolutions import CgConvolution, EdgeCouplings, EdgeFrames, So2Convolution
from raysweep.models.harmonics import edge_paths, half_turn
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
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, 2 * l + 1, WIDTH, generator=generator) for l in range(l_max + 1)]


def harmonics(l, vectors):
    return o3.spherical_harmonics(l, vectors, normalize=True, normalization="component")


@pytest.mark.parametrize("l", DEGREES)
def test_half_turns_equal_the_representations_of_e3nn(l):
    axes = directions()
    even = torch.cat([harmonics(k, axes) for k in range(0, 2 * l + 1, 2)], dim=1)
    turns = 2 * axes.unsqueeze(2) * axes.unsqueeze(1) - torch.eye(3)
    theirs = o3.Irrep(l, (-1) ** l).D_from_matrix(turns)
    assert torch.allclose((even @ half_turn(l)).view_as(theirs), theirs, atol=1e-10)


def test_frames_are_orthogonal_and_take_every_direction_to_the_polar_axis():
    edges = directions()
    frames = EdgeFrames(4)(edges)
    for l, frame in enumerate(frames, start=1):
        assert torch.allclose(frame @ frame.transpose(1, 2), torch.eye(2 * l + 1).expand_as(frame), atol=1e-12)
        turned = (frame @ harmonics(l, edges).unsqueeze(2)).squeeze(2)
        assert torch.allclose(turned, harmonics(l, POLAR).expand_as(turned), atol=1e-12)
        # e3nn's l = 1 basis is (x, y, z) itself.
        theirs = o3.Irrep(l, (-1) ** l).D_from_matrix(frames[0])
        assert torch.allclose(frame, theirs, atol=1e-10)


def weights_in_frames(l_in, l_out, weights):
    """The weights of `so2` that span the same function as `weights` [E, paths, width] of `cg`, from e3nn's couplings.

    On an edge along the polar axis a path is diagonal: it multiplies component m by a number, the same for m and -m.
    """
    convolution = So2Convolution(l_in, l_out)
    places = [
        (m, l1, l3)
        for m in range(l_out + 1)
        for l1 in range(m, l_in + 1)
        for l3 in range(m, l_out + 1)
    ]  # fmt: skip
    turned = torch.zeros(len(weights), convolution.n_weights, WIDTH)
    paths = edge_paths(l_in, l_out)
    all_paths = edge_paths(l_in, l_in)
    for index, (l1, l3, l2) in enumerate(paths):
        matrix = torch.einsum("abc,b->ac", o3.wigner_3j(l1, l2, l3, dtype=torch.float64), harmonics(l2, POLAR))
        matrix = matrix * math.sqrt((2 * l3 + 1) / sum(path[1] == l3 for path in all_paths))
        for m in range(min(l1, l3) + 1):
            assert torch.isclose(matrix[l1 + m, l3 + m], matrix[l1 - m, l3 - m], atol=1e-12)
            turned[:, places.index((m, l1, l3))] += weights[:, index] * matrix[l1 + m, l3 + m]
    return turned


@pytest.mark.parametrize(("l_in", "l_out"), [(1, 1), (2, 2), (3, 3), (4, 4), (4, 1), (3, 0)])
def test_the_frame_of_the_edge_and_the_full_tensor_product_span_the_same_functions(l_in, l_out):
    edges = directions()
    sent = senders(l_in, len(edges))
    cg, so2 = CgConvolution(l_in, l_out), So2Convolution(l_in, l_out)
    assert cg.n_weights == so2.n_weights
    weights = torch.randn(len(edges), cg.n_weights, WIDTH, generator=torch.Generator().manual_seed(2))
    theirs = cg(sent, weights, EdgeCouplings(l_in)(edges))
    ours = so2(sent, weights_in_frames(l_in, l_out, weights), EdgeFrames(l_in)(edges))
    assert [x.shape for x in ours] == [(len(edges), 2 * l + 1, WIDTH) for l in range(l_out + 1)]
    for l in range(l_out + 1):
        assert torch.allclose(ours[l], theirs[l], atol=1e-10, rtol=0)


def test_the_map_between_the_weights_is_invertible():
    n = So2Convolution(4, 4).n_weights
    unit = torch.eye(n).unsqueeze(2).expand(n, n, WIDTH)
    assert torch.linalg.matrix_rank(weights_in_frames(4, 4, unit)[:, :, 0]) == n


@pytest.mark.parametrize("l_max", [1, 3])
def test_the_full_tensor_product_equals_that_of_e3nn(l_max):
    edges = directions()
    sent = senders(l_max, len(edges))
    paths = edge_paths(l_max, l_max)
    # e3nn computes in the default dtype at the time of making; components of a degree lie next to each other there.
    product = o3.TensorProduct(
        o3.Irreps([(WIDTH, (l, (-1) ** l)) for l in range(l_max + 1)]),
        o3.Irreps([(1, (l, (-1) ** l)) for l in range(2 * l_max + 1)]),
        o3.Irreps([(WIDTH, (l, (-1) ** l)) for l in range(l_max + 1)]),
        [(l1, l2, l3, "uvu", True) for l1, l3, l2 in paths],
        irrep_normalization="component", path_normalization="element", internal_weights=False, shared_weights=False,
    )  # fmt: skip
    weights = torch.randn(len(edges), len(paths), WIDTH, generator=torch.Generator().manual_seed(2))
    y = torch.cat([harmonics(l, edges) for l in range(2 * l_max + 1)], dim=1)
    flat = torch.cat([x.transpose(1, 2).flatten(1) for x in sent], dim=1)
    theirs = product(flat, y, weights.flatten(1))
    ours = CgConvolution(l_max, l_max)(sent, weights, EdgeCouplings(l_max)(edges))
    assert torch.allclose(torch.cat([x.transpose(1, 2).flatten(1) for x in ours], dim=1), theirs, atol=1e-10)


@pytest.mark.parametrize("geometry", [EdgeFrames, EdgeCouplings])
def test_second_derivatives_are_finite_and_right_along_the_axes_and_at_the_seam(geometry):
    module = geometry(2)
    # The seam between the two charts is the plane y = 0, where x and z lie.
    vectors = torch.cat([AXES, torch.tensor([[0.6, 1e-9, 0.8], [0.6, -1e-9, 0.8]])]).requires_grad_(True)
    sent, convolution = senders(2, len(vectors)), (So2Convolution if geometry is EdgeFrames else CgConvolution)(2, 2)
    weights = torch.randn(len(vectors), convolution.n_weights, WIDTH, generator=torch.Generator().manual_seed(3))

    def energy(x):
        out = convolution(sent, weights, module(x / x.norm(dim=1, keepdim=True)))
        return sum((message * message.cos()).sum() for message in out)

    assert torch.autograd.gradcheck(energy, (vectors,), atol=1e-6)
    assert torch.autograd.gradgradcheck(energy, (vectors,), atol=1e-5)


def test_messages_are_of_unit_variance():
    edges = directions(400)
    sent = senders(4, len(edges))
    for convolution, geometry in ((So2Convolution(4, 4), EdgeFrames(4)), (CgConvolution(4, 4), EdgeCouplings(4))):
        shape = (len(edges), convolution.n_weights, WIDTH)
        weights = torch.randn(shape, generator=torch.Generator().manual_seed(4)) * convolution.gain
        for message in convolution(sent, weights, geometry(edges)):
            assert 0.3 < float(message.square().mean()) < 1.5


def test_degree_zero_and_a_single_layer_need_no_frames():
    for knobs in ({"l_max": 0}, {"depth": 1}):
        for correlation in (1, 2, 3):
            model = force_field("tensor-l1", "conservative", convolution="so2", correlation=correlation, **knobs)
            assert torch.isfinite(model(random_batch()).forces).all()


def test_tensors_that_nothing_would_couple_are_refused():
    with pytest.raises(SpaceError, match="correlation"):
        force_field("tensor-l1", "direct", convolution="sparse", correlation=1)
