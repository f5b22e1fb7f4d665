"""The adapters against torch_geometric's own forward passes on the same structures with the same weights."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.special import eval_legendre, spherical_jn

from raysweep.core.errors import SpaceError
from raysweep.models.architectures.dimenetpp import SphericalBasis, triplets
from raysweep.models.architectures.geometric import dimenet, schnet, visnet
from raysweep.models.base import DatasetInfo
from raysweep.models.registry import check_size, create
from tests.models.molecules import ELEMENTS, force_field, random_batch, relative


@pytest.fixture
def batch():
    return random_batch(3, seed=8, box=5.0)


@pytest.fixture(autouse=True)
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def radius_graph(pos, r, batch, loop=False, max_num_neighbors=32):
    """Stands for torch_geometric's, which needs a package that is not installed: pairs (source, target)."""
    gap = torch.cdist(pos, pos)
    near = (gap < r) & (batch[:, None] == batch[None])
    near.fill_diagonal_(loop)
    target, source = torch.nonzero(near, as_tuple=True)
    return torch.stack([source, target])


def triplets_by_loops(edge_index, num_nodes):
    """Stands for torch_geometric's `triplets`, which needs a sparse package; as its documentation says."""
    row, col = edge_index.tolist()
    found = [
        (i, j, k, kj, ji)
        for ji, (j, i) in enumerate(zip(row, col, strict=True))
        for kj, (k, end) in enumerate(zip(row, col, strict=True))
        if end == j and k != i
    ]
    i, j, k, kj, ji = torch.tensor(found).T
    return edge_index[1], edge_index[0], i, j, k, kj, ji


def index(batch):
    """Each atom's row of the embedding."""
    return torch.tensor([ELEMENTS.index(int(number)) for number in batch.numbers])


def carry_over(theirs, ours):
    """Give a network of torch_geometric the weights of an adapter; leaves those that the adapter does without at 0."""
    state = {key: torch.zeros_like(value) for key, value in theirs.state_dict().items()}
    buffers = dict(theirs.named_buffers())
    state = {key: buffers.get(key, value) for key, value in state.items()}
    state |= {key: value for key, value in ours.items() if key in state}
    theirs.load_state_dict(state)


def dimensionless(model, batch):
    return model(batch).energy / model.dataset.scale


def test_schnet_is_that_of_torch_geometric(batch):
    ours = force_field("schnet", "conservative")
    edges, lengths = torch.stack([batch.senders, batch.receivers]), batch.vectors().norm(dim=1)
    theirs = schnet.SchNet(12, 12, 2, 16, 5.0, interaction_graph=lambda *_: (edges, lengths))
    theirs.embedding = torch.nn.Embedding(len(ELEMENTS), 12)
    carry_over(theirs, ours.network.state_dict())
    assert relative(dimensionless(ours, batch), theirs(index(batch), batch.positions, batch.structure)[:, 0]) < 1e-10


def test_dimenetpp_is_that_of_torch_geometric(batch, monkeypatch):
    monkeypatch.setattr(dimenet, "radius_graph", radius_graph)
    monkeypatch.setattr(dimenet, "triplets", triplets_by_loops)
    size = {"width": 12, "depth": 2, "angular": 2, "radial": 3}
    ours = create("dimenetpp", size, "conservative", DatasetInfo(elements=ELEMENTS, scale=1.0), 0, torch.float64)
    theirs = dimenet.DimeNetPlusPlus(12, 1, 2, 6, 8, 24, num_spherical=3, num_radial=3)
    theirs.emb.emb = torch.nn.Embedding(len(ELEMENTS), 12)
    carry_over(theirs, ours.state_dict())
    energy = ours.eval()(batch).energy
    # Their zeros and norms of the Bessel functions are of single precision.
    assert relative(energy, theirs(index(batch), batch.positions, batch.structure)[:, 0]) < 1e-6
    theirs.sbf.forward = lambda lengths, angle, kj: ours.sbf(lengths[:, None], angle.cos()[:, None], kj)
    assert relative(energy, theirs(index(batch), batch.positions, batch.structure)[:, 0]) < 1e-10


def test_the_spherical_basis_is_made_of_bessel_functions_and_legendre_polynomials():
    basis, cutoff = SphericalBasis(4, 3, 5.0), 5.0
    lengths, cosine = torch.linspace(0.8, 4.9, 30), torch.linspace(-1, 1, 30)
    x = lengths.numpy() / cutoff
    envelope = 1 / x - 28 * x**5 + 48 * x**6 - 21 * x**7
    expected = []
    for l, zeros in enumerate(basis.zeros.numpy()):
        for zero in zeros:
            assert abs(spherical_jn(l, zero)) < 1e-6
            radial = spherical_jn(l, zero * x) * envelope / np.sqrt(0.5 * spherical_jn(l + 1, zero) ** 2)
            expected.append(radial * np.sqrt((2 * l + 1) / (4 * np.pi)) * eval_legendre(l, cosine.numpy()))
    found = basis(lengths[:, None], cosine[:, None], torch.arange(30))
    assert relative(found, torch.tensor(np.stack(expected, axis=1))) < 1e-10


@pytest.mark.parametrize("label", ["visnet", "visnet-l2"])
def test_visnet_is_that_of_torch_geometric(batch, label, monkeypatch):
    monkeypatch.setattr(visnet, "radius_graph", radius_graph)
    ours = force_field(label, "conservative")
    with torch.no_grad():
        for weight in ours.parameters():  # some start at 0
            weight += 0.2 * torch.randn_like(weight)
    knobs = ours.size
    theirs = visnet.ViSNet(
        knobs.l_max, num_heads=12 // knobs.head_width, num_layers=2, hidden_channels=12, max_z=len(ELEMENTS)
    )
    weights = {f"representation_model.{key}": value for key, value in ours.network.state_dict().items()}
    weights |= {f"output_model.{key}": value for key, value in ours.output.state_dict().items()}
    carry_over(theirs, weights)
    expected = theirs(index(batch), batch.positions, batch.structure)[0][:, 0]
    assert relative(dimensionless(ours, batch), expected) < 1e-10


def test_no_few_channels_of_visnet_carry_its_messages_at_the_start(batch):
    """With queries, keys and gates drawn at random 7 % of the channels would carry them at a width of 256."""
    size, shares = {"width": 256, "depth": 2}, []
    model = create("visnet", size, "conservative", DatasetInfo(elements=ELEMENTS, scale=1.0), 0, torch.float64)
    for layer in model.network.vis_mp_layers:
        layer.s_proj.register_forward_pre_hook(lambda _, inputs: shares.append(inputs[0].square().mean(dim=0)))
    model.eval()(batch)
    for power in shares:
        assert power.sum() ** 2 / power.square().sum() > 0.25 * len(power)


def test_triplets_are_all_pairs_of_edges_but_an_edge_and_its_reverse(batch):
    kj, ji = triplets(batch, batch.vectors())
    edges = torch.stack([batch.senders, batch.receivers])
    *_, kj_by_loops, ji_by_loops = triplets_by_loops(edges, len(batch.numbers))
    found = set(zip(kj.tolist(), ji.tolist(), strict=True))
    assert found == set(zip(kj_by_loops.tolist(), ji_by_loops.tolist(), strict=True))
    assert len(found) == len(kj)
    degree = torch.bincount(batch.receivers)
    assert len(kj) == int((degree * (degree - 1)).sum())


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(SpaceError, match="multiple of head_width 8"):
        check_size("visnet", {"width": 12})


@pytest.mark.parametrize("name", ["schnet", "dimenetpp", "visnet"])
def test_knobs_that_a_network_does_not_have_are_refused(name):
    with pytest.raises(SpaceError, match="'norm'"):
        check_size(name, {"width": 16, "norm": "rms"})


def test_torch_geometric_is_imported_only_when_asked_for():
    code = (
        "import sys; from raysweep.models.registry import check_size, names; names(); check_size('egnn', {'width': 8});"
        "print('torch_geometric' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
