"""What the meter knows is counted, and what it does not know is refused by name."""

import pytest
import torch
from torch import nn

from raysweep.core.errors import SpaceError
from raysweep.models.declared_flops import METERS, declare_flops
from raysweep.training.cost.flops import FlopMeter
from raysweep.training.cost.formulas import OTHERS, PRODUCTS
from raysweep.training.cost.operations import FREE, PER_INPUT, PER_RESULT, SCATTERS
from raysweep.training.loop import measure, train
from tests.models.molecules import SIZES, force_field, random_batch


def counted(call):
    with FlopMeter() as meter:
        call()
    return meter.products, meter.total - meter.products


X, Y, V = torch.ones(3, 5), torch.ones(5, 7), torch.ones(5)
IMAGE = torch.ones(2, 4, 6)
SQUARE = torch.eye(6).expand(5, 6, 6) * 2.0
ROWS = torch.tensor([[0, 2], [1, 1], [2, 0]])


@pytest.mark.parametrize(
    ("call", "products", "others"),
    [
        (lambda: X @ V, 30, 0),
        (lambda: V @ V, 10, 0),
        (lambda: torch.addr(X, torch.ones(3), V), 30, 0),
        (lambda: torch.zeros(3, 7).addmm_(X, Y), 210, 0),
        (lambda: torch.complex(X, X) @ torch.complex(Y, Y), 4 * 210, 0),
        (lambda: nn.functional.scaled_dot_product_attention(IMAGE[None], IMAGE[None], IMAGE[None]), 768, 0),
        (lambda: torch.complex(X, X) * torch.complex(X, X), 0, 6 * 15),
        (lambda: torch.complex(X, X) + torch.complex(X, X), 0, 2 * 15),
        (lambda: torch.softmax(X, 1), 0, 5 * 15),
        (lambda: nn.functional.layer_norm(X, (5,)), 0, 7 * 15),
        (lambda: X.clone().abs_(), 0, 15),
        (lambda: X.clone().index_put_((torch.tensor([0, 0]),), torch.ones(2, 5), accumulate=True), 0, 10),
        (lambda: X.clone().index_put_((torch.tensor([0, 1]),), torch.ones(2, 5)), 0, 0),
        (lambda: X.std(), 0, 4 * 15),
        (lambda: X.cumsum(1), 0, 15),
        (lambda: torch.arange(5).cumsum(0), 0, 0),
        (lambda: X.sort(dim=1), 0, 0),
        (lambda: X[torch.tensor([0, 2])].t().contiguous().view(-1).flip(0), 0, 0),
        (lambda: torch.empty(3, 5).copy_(X).mul_(2.0), 0, 15),
        (lambda: torch.empty(3, 5).normal_(), 0, 15),
        (lambda: torch.mm(X, Y, out=torch.empty(3, 7)) + 1.0, 210, 21),
        (lambda: torch.fft.rfft(torch.ones(7, 16)), 0, 7 * 160),  # 5/2 N log2 N
        (lambda: torch.fft.irfft(torch.ones(7, 9, dtype=torch.complex64), n=16), 0, 7 * 160),
        (lambda: torch.fft.fft2(torch.ones(3, 4, 8, dtype=torch.complex64)), 0, 3 * 5 * 32 * 5),
        (lambda: torch.linalg.det(SQUARE), 5 * 144, None),  # 2/3 n³
        (lambda: torch.linalg.inv(SQUARE), 5 * 432, None),
        (lambda: torch.linalg.solve(SQUARE, torch.ones(5, 6, 2)), 5 * (144 + 2 * 36 * 2), None),
        (lambda: torch.linalg.cholesky(SQUARE), 5 * 72, None),
        (lambda: torch.linalg.solve_triangular(SQUARE, torch.ones(5, 6, 2), upper=True), 5 * 36 * 2, None),
        (lambda: torch.linalg.qr(torch.ones(5, 6, 3)), 5 * 2 * (2 * 6 * 9 - 18), None),
        (lambda: torch.einsum("ab,bc->ac", X, Y), 210, 0),
        (lambda: nn.functional.embedding_bag(ROWS, X, mode="sum"), 0, 6 * 5),
        (lambda: nn.functional.group_norm(torch.ones(3, 4), 2), 0, 7 * 12),
        (lambda: X.topk(2, dim=1), 0, 0),
        (lambda: X.cummax(1), 0, 15),
        (lambda: torch._weight_norm_interface(X, torch.ones(3, 1)), 0, 3 * 15),
        (lambda: torch.ops.aten.mish_backward(X, X), 0, 15),
        (lambda: torch.ops.prims.add(X, X), 0, 15),
    ],
)
def test_counts_by_hand(call, products, others):
    found = counted(call)
    assert found == (products, found[1] if others is None else others)  # None: checks of the arguments beside


def test_no_operation_is_in_two_lists():
    lists = [set(FREE), set(SCATTERS), set(PER_INPUT), set(PER_RESULT), set(PRODUCTS), set(OTHERS)]
    assert sum(map(len, lists)) == len(set().union(*lists))


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: torch.linalg.matrix_exp(SQUARE), "aten.linalg_matrix_exp"),
        (lambda: torch.linalg.eigh(X @ X.T), "aten._linalg_eigh"),
        (lambda: torch.ops.rs_tests.shift(X), "rs_tests.shift"),
        (lambda: X.numpy() + 1, r"outside of torch \(Tensor.numpy\)"),
        (lambda: sum(X.tolist()[0]), r"outside of torch \(Tensor.tolist\)"),
        (lambda: torch.empty(3, 5) + 1.0, "a kernel outside of torch's dispatcher"),
        (lambda: torch.empty(3, 5).view(-1)[2:].sum(), "a kernel outside of torch's dispatcher"),
    ],
)
def test_what_cannot_be_counted_is_refused_by_name(call, named):
    with FlopMeter("architecture 'mine'") as meter:
        call()
    with pytest.raises(SpaceError, match=rf"architecture 'mine'.*{named}.*register_flop_formula.*declare_flops"):
        _ = meter.total


def test_all_that_cannot_be_counted_is_named_at_once():
    with FlopMeter() as meter:
        torch.linalg.matrix_exp(SQUARE)
        torch.linalg.svdvals(SQUARE)
    assert list(meter.unknown) == ["aten.linalg_matrix_exp", "aten._linalg_svd"]


def test_reading_the_shape_of_new_memory_or_integers_is_no_computation():
    with FlopMeter() as meter:
        torch.zeros_like(torch.empty(3, 5)).new_ones(2)
        torch.arange(4).tolist()
    assert meter.total == 0


def test_a_declared_block_counts_as_declared_and_as_nothing_where_nobody_counts():
    with declare_flops(5):
        torch.linalg.matrix_exp(SQUARE)
    with FlopMeter() as meter:
        with declare_flops(1000):
            torch.linalg.matrix_exp(SQUARE)
            with declare_flops(24):
                X.numpy()
        _ = X + 1
    assert (meter.declared, meter.total) == (1000, 1015)
    assert not METERS


def test_a_part_that_a_network_compiles_itself_is_counted_as_it_is_without():
    def part(x):
        return torch.tanh(x @ Y) * 2.0

    compiled = torch.compile(part, backend="aot_eager")
    assert counted(lambda: compiled(X)) == counted(lambda: part(X)) == (210, 42)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
def test_scripted_parts_are_counted():
    script = torch.jit.script(nn.Sequential(nn.Linear(5, 7), nn.SiLU()))
    plain = nn.Sequential(nn.Linear(5, 7), nn.SiLU())
    for _ in range(3):
        assert counted(lambda: script(X)) == counted(lambda: plain(X))


@pytest.mark.parametrize("forces", ["direct", "conservative"])
@pytest.mark.parametrize("label", sorted(SIZES))
def test_every_shipped_architecture_is_counted_in_full(label, forces):
    model, batch = force_field(label, forces).train(), random_batch(2)
    with FlopMeter() as meter:
        prediction = model(batch)
        (prediction.energy.sum() + prediction.forces.square().sum()).backward()
    assert not meter.unknown
    assert meter.total > 0


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("custom", "rs_tests.shift"),
        ("outside", r"Tensor\.numpy"),
        ("kernel", "a kernel outside of torch's dispatcher"),
        ("spectral", r"aten\.linalg_matrix_exp"),
    ],
)
def test_a_network_that_cannot_be_counted_is_refused_before_it_trains(plug_in, store, name, named):
    spec = plug_in(name)
    for call in (lambda: measure(spec, store), lambda: next(train(spec, store, device="cpu"))):
        with pytest.raises(SpaceError, match=rf"architecture '{name}'.*{named}"):
            call()


def test_formulas_of_a_package_are_counted(plug_in, store):
    plain = measure(plug_in("pairs"), store)
    of_edges = {name: measure(plug_in(name), store).flops_per_edge for name in ("formula", "declared")}
    width = 8
    # Forward by the formula, backward an elementwise product.
    assert of_edges["formula"] == plain.flops_per_edge + 100 * width + width
    assert of_edges["declared"] == plain.flops_per_edge + (7 + 11) * width


def test_work_that_is_no_sum_over_edges_is_refused(plug_in, store):
    with pytest.raises(SpaceError, match="'quadratic' are not a sum over structures, atoms and edges: "):
        measure(plug_in("quadratic"), store)
