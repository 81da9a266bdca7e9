"""Hessian-vector products of a problem against the explicit Hessian."""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from cases import EAGER, tiny
from spectraledge.models import PreNormEncoderSpec, ScaleInvariantDecoderSpec
from spectraledge.tasks import UNLABELLED, ModularArithmetic
from spectraledge.training import Execution, Problem, row_pieces
from spectraledge.training.row_pieces import rows_at_a_time, sum_of_pieces

ENCODER = PreNormEncoderSpec(width=4, heads=2, layers=2, mlp_width=6)
DECODER = ScaleInvariantDecoderSpec(width=4, heads=2, mlp_width=6)
TASK = ModularArithmetic(modulus=5, form="two_token")


def problem(model, *seeds: int, batch_size: int = 8) -> Problem:
    return Problem([tiny(model=model, task=TASK, seed=s, batch_size=batch_size) for s in seeds],
                   EAGER)  # fmt: skip


def vectors(theta: torch.Tensor, count: int) -> torch.Tensor:
    chance = torch.Generator().manual_seed(1)
    return torch.randn(len(theta), count, theta.shape[1], generator=chance).to(theta.dtype)


def explicit_hessian(of: Problem, theta, tokens, labels) -> torch.Tensor:
    """``(P, P)`` of one run, one row a backward pass; every position computed.

    Not `torch.func.hessian`, whose forward mode has a wrong derivative of LayerNorm's backward
    (torch 2.13).
    """
    skeleton = of.network.skeleton

    class Naive(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = skeleton

        def forward(self, rows):
            return self.inner.naive_forward(rows)

    def loss(flat):
        named = {f"inner.{n}": p for n, p in of.layout.views(flat).items()}
        return F.cross_entropy(functional_call(Naive(), named, (tokens,)), labels)

    return torch.autograd.functional.hessian(loss, theta)


@pytest.mark.parametrize("model", [ENCODER, DECODER], ids=["encoder", "decoder"])
@pytest.mark.parametrize("batch_size", [3, 8])  # fewer and more examples than tokens
def test_equals_the_explicit_hessian(model, batch_size, monkeypatch):
    both = problem(model, 0, 1, batch_size=batch_size)
    # The laboratory's networks are float32; here the formula is under test, not its rounding.
    monkeypatch.setattr(both.network, "compute", torch.float64)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    theta = both.initial_parameters().double()
    # At the initialisation the biases are zero and the blocks equal: move away from it.
    theta += 0.1 * vectors(theta, 1)[:, 0]
    tokens, labels = both.batch(0)
    V = vectors(theta, 3)
    product = both.hessian_vector(theta, tokens, labels, V)
    assert product.shape == V.shape
    for run in range(2):
        H = explicit_hessian(both, theta[run], tokens[run], labels[run])
        # Sums of about P = 500 terms in float64.
        torch.testing.assert_close(product[run], V[run] @ H, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
def test_compiled_products_are_the_eager_ones():
    specs = [tiny(model=ENCODER, task=TASK, seed=s, batch_size=8) for s in (0, 1)]
    eager, compiled = Problem(specs, EAGER), Problem(specs, Execution())
    theta = eager.initial_parameters()
    tokens, labels = eager.batch(0)
    for count in (1, 3, 4, 6):  # one alone, padded, whole, and in two calls
        V = vectors(theta, count)
        expected = eager.hessian_vector(theta, tokens, labels, V)
        error = (compiled.hessian_vector(theta, tokens, labels, V) - expected).norm()
        # Float32 sums in another order: some 1e-7 of the size each.
        assert error < 1e-5 * expected.norm()


def test_any_number_of_vectors_is_the_same_as_one_at_a_time():
    both = problem(ENCODER, 0, 1)
    theta = both.initial_parameters()
    tokens, labels = both.batch(0)
    V = vectors(theta, 6)
    single = [both.hessian_vector(theta, tokens, labels, V[:, k : k + 1]) for k in range(6)]
    # Float32 products in stacks of other sizes.
    torch.testing.assert_close(
        both.hessian_vector(theta, tokens, labels, V), torch.cat(single, 1), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("model", [ENCODER, DECODER], ids=["encoder", "decoder"])
def test_does_not_depend_on_batch_mates(model):
    both, alone = problem(model, 0, 1), problem(model, 1)
    theta = both.initial_parameters()
    tokens, labels = both.batch(0)
    V = vectors(theta, 2)
    together = both.hessian_vector(theta, tokens, labels, V)[1:]
    assert torch.equal(together, alone.hessian_vector(theta[1:], tokens[1:], labels[1:], V[1:]))


def test_pieces_of_rows_are_the_whole_batch(monkeypatch):
    both = problem(DECODER, 0, 1)
    theta = both.initial_parameters()
    tokens, labels = both.batch(0)
    labels[0, 3:] = UNLABELLED  # so that a whole piece of one run has no label
    V = vectors(theta, 2)
    whole = both.hessian_vector(theta, tokens, labels, V)
    positions = tokens.shape[-1]
    assert rows_at_a_time(both.layout, positions) > tokens.shape[1]
    monkeypatch.setattr(row_pieces, "NUMBERS", row_pieces.NUMBERS // 10**6)
    assert rows_at_a_time(both.layout, positions) < tokens.shape[1] - 4
    # Float32 sums of pieces instead of one.
    torch.testing.assert_close(
        both.hessian_vector(theta, tokens, labels, V), whole, rtol=1e-4, atol=1e-5
    )


def test_pieces_are_weighted_by_their_labels():
    labels = torch.tensor([[0, 1, UNLABELLED, 2, UNLABELLED]])
    seen = []

    def mean(tokens, labels):
        seen.append(tokens.shape[1])
        known = labels != UNLABELLED
        return (tokens.squeeze(-1) * known).sum(1) / known.sum(1)

    tokens = torch.tensor([[[1.0], [2.0], [100.0], [6.0], [100.0]]])
    assert sum_of_pieces(mean, tokens, labels, 2).item() == 3.0
    assert seen == [2, 2, 1]  # the last has no label, and its NaN does not count
    assert sum_of_pieces(mean, tokens, labels, 5).item() == 3.0
    assert seen[3:] == [5]


class Once(torch.autograd.Function):
    """Twice its input, with a derivative that has none."""

    @staticmethod
    def forward(x):
        return 2 * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def vmap(info, in_dims, x):
        return Once.apply(x), in_dims[0]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        return 2 * grad


class OnceLayer(torch.nn.Module):
    def forward(self, x):
        return Once.apply(x)


class Own(torch.nn.Module):
    """Tokens to logits through the given layers."""

    def __init__(self, vocabulary, classes, layers):
        super().__init__()
        self.embedding = torch.nn.Embedding(vocabulary, 4)
        self.layers = torch.nn.Sequential(*layers)
        self.head = torch.nn.Linear(4, classes)

    def forward(self, tokens):
        return self.head(self.layers(self.embedding(tokens).mean(1)))


@dataclass(frozen=True)
class OwnSpec:
    layer: type[torch.nn.Module]
    inplace: bool = False

    def build(self, *, vocabulary, length, classes, seed):
        torch.manual_seed(seed)
        own = self.layer(inplace=True) if self.inplace else self.layer()
        return Own(vocabulary, classes, (torch.nn.Linear(4, 4), torch.nn.Sigmoid(), own))


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        (OwnSpec(OnceLayer), r"hessian_vector: .*module 'layers.2' \(OnceLayer\)"),
        (OwnSpec(torch.nn.ReLU, inplace=True), r"hessian_vector: .*'layers.2' \(ReLU\) changes"),
    ],
    ids=["once", "in place"],
)
def test_a_model_without_second_derivatives_is_named(spec, named):
    own = problem(spec, 0)
    theta = own.initial_parameters()
    with pytest.raises(ValueError, match=named):
        own.hessian_vector(theta, *own.batch(0), vectors(theta, 1))
