"""Brackets against closed forms in float64, and their floors against what rounding does."""

import pytest
import torch
from torch import nn

from cases import EAGER, tiny
from spectraledge.instruments.batch_pairs import batch_pairs
from spectraledge.instruments.commutators import METHODS, commutators
from spectraledge.instruments.loss_closure import LossClosure
from spectraledge.models import PreNormEncoderSpec
from spectraledge.snapshots import flatten_parameters
from spectraledge.tasks import ModularArithmetic
from spectraledge.training import Problem

P, RUNS = 12, 2


def gaussian(*shape: int, seed: int = 0) -> torch.Tensor:
    chance = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=chance, dtype=torch.float64)


def symmetric(seed: int) -> torch.Tensor:
    drawn = gaussian(RUNS, P, P, seed=seed)
    return drawn + drawn.mT


class Quadratic:
    """Loss ``½ θᵀHθ − bᵀθ``; a batch is its (H, b)."""

    def gradient(self, theta, H, b):
        return torch.einsum("rij,rj->ri", H, theta) - b, None, None

    def hessian_vector(self, theta, H, b, vectors):
        return torch.einsum("rij,rkj->rki", H, vectors)


BATCHES = [(symmetric(i), gaussian(RUNS, P, seed=100 + i)) for i in range(4)]
THETA = gaussian(RUNS, P, seed=50)


def bracket(pair=((0,), (1,)), batches=BATCHES, **options):
    (found,) = commutators(Quadratic(), THETA, batches, [pair], **options)
    return found


def closed_form(batches=BATCHES):
    (H_A, b_A), (H_B, b_B) = batches[:2]
    g_A, g_B = (Quadratic().gradient(THETA, H, b)[0] for H, b in ((H_A, b_A), (H_B, b_B)))
    L = torch.einsum("rij,rj->ri", H_B, g_A) - torch.einsum("rij,rj->ri", H_A, g_B)
    return L, g_A, g_B


# The two gradient maps of a quadratic are affine, so every difference equals the bracket at any
# step, up to rounding: 1e-16 |θ| / η for gradients and 1e-16 |θ| / η² for positions.
@pytest.mark.parametrize(
    ("method", "eta", "tolerance"),
    [
        ("exact", 1e-3, 1e-13),
        ("gradient_difference", 1e-3, 1e-10),
        ("published", 1e-2, 1e-10),
        ("published_adaptive", 1e-2, 1e-10),
    ],
)
def test_every_method_gives_the_closed_form_of_a_quadratic(method, eta, tolerance):
    L, g_A, g_B = closed_form()
    found = bracket(method=method, eta=eta)
    assert (found.bracket - L).norm() < tolerance * L.norm()
    torch.testing.assert_close(found.gradients, (g_A, g_B))
    numbers = found.numbers()
    expected = L.norm(dim=1) / (g_A.norm(dim=1) * g_B.norm(dim=1) + found.slack)
    torch.testing.assert_close(numbers["defect"], expected, rtol=10 * tolerance, atol=0)


@pytest.mark.parametrize("method", ["gradient_difference", "published"])
def test_the_defect_does_not_depend_on_the_step(method):
    L, g_A, g_B = closed_form()
    defect = L.norm(dim=1) / (g_A.norm(dim=1) * g_B.norm(dim=1))
    for eta in (1e-5, 1e-4, 1e-3, 1e-2):
        numbers = bracket(method=method, eta=eta).numbers()
        free = numbers["bracket_norm"] / (numbers["first_norm"] * numbers["second_norm"])
        # 1e-15 |θ| ‖H‖ / η² at η = 1e-5.
        torch.testing.assert_close(free, defect, rtol=1e-4, atol=0)


def test_the_published_denominator_is_not_small():
    """At η = 1e-5 the 1e-12 in it takes a share of the defect that depends on the gradients."""
    numbers = bracket(method="published", eta=1e-5).numbers()
    product = numbers["first_norm"] * numbers["second_norm"]
    expected = numbers["bracket_norm"] / (product + 1e-2)
    torch.testing.assert_close(numbers["defect"], expected)


def test_commuting_gradients_have_no_bracket():
    """One eigenbasis and one minimum: H_B H_A = H_A H_B."""
    Q = torch.linalg.qr(symmetric(7))[0]
    centre = gaussian(RUNS, P, seed=8)
    batches = []
    for seed in (1, 2):
        H = Q @ torch.diag_embed(gaussian(RUNS, P, seed=seed)) @ Q.mT
        batches.append((H, torch.einsum("rij,rj->ri", H, centre)))
    numbers = bracket(batches=batches).numbers()
    assert numbers["relative_defect"].max() < 1e-13  # float64 rounding of sums of 12 terms
    assert numbers["bracket_norm"].max() < 10 * numbers["rounding_floor"].max() + 1e-13


def test_a_batch_commutes_with_itself_exactly():
    numbers = bracket(pair=((0,), (0,))).numbers()
    assert numbers["bracket_norm"].tolist() == [0.0, 0.0]
    assert numbers["defect"].tolist() == [0.0, 0.0]


def test_the_bracket_is_antisymmetric_bit_for_bit():
    for method in METHODS:
        forward, backward = bracket(method=method), bracket(pair=((1,), (0,)), method=method)
        assert torch.equal(forward.bracket, -backward.bracket)


def test_pieces_are_averaged():
    pieces = zip(BATCHES[::2], BATCHES[1::2])
    whole = [tuple((x + y) / 2 for x, y in zip(*both)) for both in pieces]
    for method in METHODS:
        together = bracket(pair=((0, 1), (2, 3)), method=method, eta=1e-2)
        separate = bracket(batches=whole, method=method, eta=1e-2)
        assert (together.bracket - separate.bracket).norm() < 1e-10 * separate.bracket.norm()


def test_a_zero_gradient_has_no_defect():
    H, _ = BATCHES[0]
    flat = (H, torch.einsum("rij,rj->ri", H, THETA))
    numbers = bracket(batches=[flat, BATCHES[1]]).numbers()
    assert numbers["first_norm"].tolist() == [0.0, 0.0]
    assert numbers["defect"].isnan().all()
    assert numbers["gradient_cosine"].isnan().all()


def test_the_adaptive_step_makes_the_displacement_long_enough():
    small = [(1e-4 * H, 1e-4 * b) for H, b in BATCHES]
    found = bracket(batches=small, method="published_adaptive", eta=1e-5)
    shorter = torch.minimum(*(g.norm(dim=1) for g in found.gradients))
    torch.testing.assert_close(1e-12 / found.slack, (1e-6 / shorter) ** 2)


@pytest.mark.parametrize("pieces", [1, 2])
def test_pairs_are_disjoint_distinct_and_nested(pieces):
    many = batch_pairs(15, pieces)
    assert len({frozenset(pair) for pair in many}) == 15
    assert all(len({*a, *b}) == 2 * pieces for a, b in many)
    for count in (1, 3, 9):
        assert batch_pairs(count, pieces) == many[:count]


def test_how_many_batches_nine_pairs_take():
    assert {i for a, b in batch_pairs(9) for i in a + b} == set(range(5))
    assert {i for a, b in batch_pairs(15, 2) for i in a + b} == set(range(5))


# --- a transformer ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoder():
    """A tiny encoder, its trained-like parameters, and two batches of each of two runs."""
    spec = PreNormEncoderSpec(width=16, heads=2, mlp_width=24)
    task = ModularArithmetic(modulus=7, form="two_token")
    problem = Problem([tiny(model=spec, task=task, seed=s) for s in range(2)], EAGER)
    theta = problem.initial_parameters()
    theta += 0.05 * gaussian(*theta.shape).float()
    return problem, theta, [problem.batch(0, f"test {i}") for i in range(2)]


def in_float64(problem, monkeypatch):
    monkeypatch.setattr(problem.network, "compute", torch.float64)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


@pytest.mark.parametrize("method", METHODS)
def test_the_floor_is_what_rounding_does(encoder, method, monkeypatch):
    problem, theta, batches = encoder
    (single,) = commutators(problem, theta, batches, batch_pairs(1), method=method)
    in_float64(problem, monkeypatch)
    (double,) = commutators(problem, theta.double(), batches, batch_pairs(1), method=method)
    error = (single.bracket - double.bracket).norm(dim=1)
    ratio = error / single.floor
    # An estimate of a size, from one draw: right within a factor of four either way.
    assert ratio.min() > 0.25, ratio
    assert ratio.max() < 4, ratio


@pytest.mark.parametrize("examples", [8, 64, 512])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_floor_of_a_linear_model_is_what_rounding_does(examples, dtype):
    """A batch and its permutation commute, and moving parameters leaves their Hessian alone."""
    found = []
    for seed in range(8):
        torch.manual_seed(seed)
        model = nn.Linear(20, 1).to(dtype)
        x, y = torch.randn(examples, 20, dtype=dtype), torch.randn(examples, 1, dtype=dtype)
        order = torch.randperm(examples)
        loss = LossClosure(model, lambda m, b: (m(b[0]) - b[1]).square().mean(), "test")
        batches = [((x, y), None), ((x[order], y[order]), None)]
        found += commutators(loss, flatten_parameters(model)[None], batches, batch_pairs(1))
    ratios = torch.stack([pair.bracket.norm(dim=1) / pair.floor for pair in found])
    # Right within a factor of four either way, as above.
    assert 0.25 < ratios.median() < 4


def test_differences_approach_the_exact_bracket(encoder, monkeypatch):
    problem, theta, batches = encoder
    in_float64(problem, monkeypatch)
    (exact,) = commutators(problem, theta.double(), batches, batch_pairs(1))
    for method in ("gradient_difference", "published"):
        for eta in (1e-2, 1e-3, 1e-4):
            (near,) = commutators(
                problem, theta.double(), batches, batch_pairs(1), method=method, eta=eta
            )
            gap = (near.bracket - exact.bracket).norm() / exact.bracket.norm()
            # The first neglected term is η times third derivatives times a gradient, here of
            # order 1; rounding 1e-16 / η² is below it.
            assert gap < 10 * eta, (method, eta, gap)


def test_a_run_does_not_notice_its_batch_mates(encoder):
    problem, theta, batches = encoder
    (both,) = commutators(problem, theta, batches, batch_pairs(1))
    for run in range(2):
        alone = [tuple(x[run : run + 1] for x in batch) for batch in batches]
        (one,) = commutators(problem, theta[run : run + 1], alone, batch_pairs(1))
        # Other shapes may take other float32 kernels: rounding of 1e-7 of the products.
        gap = (one.bracket - both.bracket[run]).norm()
        assert gap < 1e-5 * both.products[0][run]


def test_published_values_at_the_first_step():
    """arXiv:2602.16746 reports 2.43 for addition, seed 42; the bracket's own value is 0.22."""
    spec = tiny(
        model=PreNormEncoderSpec(),
        task=ModularArithmetic(97, form="two_token", train_fraction=0.5, split="ordered"),
        batch_size=512,
        seed=42,
    )
    problem = Problem([spec], EAGER)
    theta = problem.initial_parameters()
    batches = [problem.batch(0, f"test {i}") for i in range(2)]
    exact, published = (
        next(iter(commutators(problem, theta, batches, batch_pairs(1), method=method))).numbers()
        for method in ("exact", "published")
    )
    # Spread between draws of batches: 0.22 to 0.24, and 2.2 to 2.7.
    assert exact["defect"].item() == pytest.approx(0.22, rel=0.15)
    assert published["defect"].item() == pytest.approx(2.43, rel=0.2)
    assert published["defect"].item() < 1.5 * published["defect_floor"].item()
    assert exact["defect"].item() > 1e3 * exact["defect_floor"].item()


def test_errors():
    with pytest.raises(ValueError, match="did you mean 'exact'"):
        bracket(method="exat")
    for eta in (0.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=f"finite eta > 0, got {eta}"):
            bracket(eta=eta)
    with pytest.raises(ValueError, match="pairs >= 1 and pieces 1 or 2, got 0 and 1"):
        batch_pairs(0)
    with pytest.raises(ValueError, match="got 4 and 3"):
        batch_pairs(4, 3)
