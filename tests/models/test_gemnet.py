"""The sums over triplets and quadruplets against their enumeration, and what the body orders can tell apart."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import eval_legendre

from raysweep.models.architectures.gemnet import reverse_edges
from raysweep.models.layers.blocks import lengths_and_directions
from tests.models.molecules import force_field, random_batch, relative


def enumerated(many_body, m, basis, directions, batch):
    """The sums that `ManyBody` documents, term by term in numpy."""
    senders, receivers = batch.senders.tolist(), batch.receivers.tolist()
    n_edges, n_channels = len(senders), many_body.n_channels
    radial = many_body.from_edge(basis).view(n_edges, -1, n_channels)
    f = (radial * (many_body.project(m).tanh() * many_body.scale).unsqueeze(1)).detach().numpy()
    u = directions.numpy()
    degrees = np.arange(f.shape[1])

    def legendre(one, other):
        return (2 * degrees + 1) * eval_legendre(degrees, float(np.clip(one @ other, -1, 1)))

    around = {atom: [e for e in range(n_edges) if receivers[e] == atom] for atom in set(receivers)}
    sums = np.zeros((n_edges, 3, n_channels))
    for e, (i, j) in enumerate(zip(receivers, senders, strict=True)):
        at_i = [k for k in around[i] if senders[k] != j]
        at_j = [k for k in around[j] if senders[k] != i]
        sums[e, 0] = sum((legendre(u[e], u[k]) @ f[k] for k in at_i), np.zeros(n_channels))
        sums[e, 1] = sum((legendre(-u[e], u[k]) @ f[k] for k in at_j), np.zeros(n_channels))
        sums[e, 2] = sum((legendre(u[k], u[q]) @ (f[k] * f[q]) for k in at_i for q in at_j), np.zeros(n_channels))
    return sums.reshape(n_edges, -1) * many_body.inner_scale


@pytest.mark.parametrize("angular", [1, 3, 5])
def test_densities_give_the_sums_over_triplets_and_quadruplets(angular):
    model, batch = force_field("gemnet", "conservative", angular=angular), random_batch(2, seed=5, box=3.0)
    vectors = batch.vectors()
    lengths, directions = lengths_and_directions(vectors)
    basis, _ = model.basis(lengths)
    m = torch.randn(len(vectors), 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    many_body = model.layers[0].many_body
    ours = many_body(m, basis, model.harmonics(directions), reverse_edges(batch, vectors), batch)
    theirs = torch.tensor(enumerated(many_body, m, basis, directions, batch))
    assert relative(ours, theirs) < 1e-10
    assert (theirs.abs().amax(dim=0) > 1e-4).all()


def chain(torsion):
    """Four atoms A-B-C-D with bonds of 1.4 Å and angles of 110°; only the bonds are edges."""
    bond, angle = 1.4, np.radians(110)
    b, c = np.zeros(3), np.array([bond, 0, 0])
    a = bond * np.array([np.cos(angle), np.sin(angle), 0])
    d = c + bond * np.array([-np.cos(angle), np.sin(angle) * np.cos(torsion), np.sin(angle) * np.sin(torsion)])
    i, j = torch.tensor([0, 1, 1, 2, 2, 3]), torch.tensor([1, 0, 2, 1, 3, 2])
    return replace(
        random_batch(1), numbers=torch.tensor([6, 7, 7, 8]), positions=torch.tensor(np.stack([a, b, c, d])),
        structure=torch.zeros(4, dtype=torch.int64), n_atoms=torch.tensor([4.0]), senders=j, receivers=i,
    )  # fmt: skip


def test_only_body_order_four_sees_a_dihedral_angle():
    cis, gauche = chain(0.0), chain(np.radians(60))
    energies = {
        (order, depth): [
            float(force_field("gemnet", "conservative", body_order=order, depth=depth, cutoff=2.0)(batch).energy)
            for batch in (cis, gauche)
        ]
        for order, depth in ((3, 1), (3, 3), (4, 1))
    }
    for depth in (1, 3):
        one, other = energies[3, depth]
        assert one == pytest.approx(other, rel=1e-12)
    one, other = energies[4, 1]
    assert abs(one - other) > 1e-6 * abs(one)


def test_each_edge_finds_its_reverse_among_periodic_images():
    """A cubic cell of 2.5 Å with two atoms: several images join the same two atoms, and an atom sees its own."""
    rng = np.random.default_rng(0)
    x = torch.tensor([[0.1, 0.2, 0.3], [1.3, 1.1, 1.6]], dtype=torch.float64)
    images = torch.cartesian_prod(*[torch.tensor([-2.5, 0.0, 2.5], dtype=torch.float64)] * 3)
    edges = [
        (i, j, shift)
        for i in (0, 1)
        for j in (0, 1)
        for shift in images
        if 0 < float((x[j] + shift - x[i]).norm()) < 3.9
    ]
    edges = sorted((edges[k] for k in rng.permutation(len(edges))), key=lambda edge: edge[0])
    batch = replace(
        random_batch(1), positions=x, numbers=torch.tensor([6, 8]), structure=torch.zeros(2, dtype=torch.int64),
        receivers=torch.tensor([e[0] for e in edges]), senders=torch.tensor([e[1] for e in edges]),
        shifts=torch.stack([e[2] for e in edges]), n_atoms=torch.tensor([2.0]),
    )  # fmt: skip
    vectors = batch.vectors()
    reverse = reverse_edges(batch, vectors)
    assert torch.equal(vectors[reverse], -vectors)
    assert torch.equal(batch.receivers[reverse], batch.senders)
    assert torch.equal(reverse[reverse], torch.arange(len(edges)))
    assert len(edges) > 30
