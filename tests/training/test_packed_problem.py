"""Sequence tasks computed from packed lines against the same network on whole rows."""

from dataclasses import replace

import pytest
import torch

from cases import EAGER, TINY
from spectraledge.models import CausalDecoderSpec, EncoderDecoderSpec
from spectraledge.tasks import UNLABELLED, DyckDepth, Scan
from spectraledge.training import Execution, Problem, RunSpec, train
from spectraledge.training.packing import Room
from spectraledge.training.scores import PackedScores, RowScores

SMALL = {"width": 8, "layers": 2, "heads": 2, "mlp_width": 8}
DYCK = RunSpec(
    task=DyckDepth(pairs=6, train=40, held_out=600, sampling="published"),
    model=CausalDecoderSpec(**SMALL, positions=12), batch_size=20, sampling="replacement",
)  # fmt: skip
SCAN = RunSpec(task=Scan(train=60, held_out=40), model=EncoderDecoderSpec(**SMALL), batch_size=20)
PUBLISHED = replace(SCAN, model=EncoderDecoderSpec(**SMALL, masks_memory=False))
SPECS = [DYCK, SCAN, PUBLISHED]
each_task = pytest.mark.parametrize("spec", SPECS, ids=["dyck", "scan", "scan_unmasked"])


@pytest.fixture
def doubles(monkeypatch):
    """Networks in float64: the formula is under test, not its rounding."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)

    def problem(*specs: RunSpec) -> Problem:
        found = Problem(specs, EAGER)
        monkeypatch.setattr(found.network, "compute", torch.float64)
        return found

    return problem


def two_runs(spec: RunSpec) -> list[RunSpec]:
    return [spec, replace(spec, seed=1, data_seed=7)]


def parameters(problem: Problem) -> torch.Tensor:
    """Away from the initialisation, whose biases are zero and whose blocks may be equal."""
    theta = problem.initial_parameters().double()
    return theta + 0.1 * torch.randn(theta.shape, generator=torch.Generator().manual_seed(1))


def assert_equal(ours, theirs):
    # Sums of up to a thousand terms of order 1 in float64.
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def assert_same_as_rows(problem: Problem, theta, tokens, labels):
    assert_equal(
        problem.gradient(theta, tokens, labels), problem.network.gradient(theta, tokens, labels)
    )


@each_task
def test_logits_of_labelled_positions(spec, doubles):
    problem = doubles(*two_runs(spec))
    theta, (tokens, labels) = parameters(problem), problem.batch(0)
    packing, usual = problem._packer(tokens, labels)
    assert usual
    packed, whole = problem.network.logits(theta, packing), problem.logits(theta, tokens)
    labelled = labels != UNLABELLED
    torch.testing.assert_close(packed[labelled], whole[labelled], rtol=0, atol=1e-12)
    # And there are fewer of them.
    assert packing.streams[-1].tokens.numel() < 0.8 * labels.numel()


@each_task
def test_gradient_loss_and_accuracy(spec, doubles):
    problem = doubles(*two_runs(spec))
    theta = parameters(problem)
    for step in range(3):
        assert_same_as_rows(problem, theta, *problem.batch(step))


@each_task
def test_a_batch_without_room_is_computed_all_the_same(spec, doubles):
    problem = doubles(*two_runs(spec))
    theta, (tokens, labels) = parameters(problem), problem.batch(0)
    usual = problem._packer.room(tokens.shape[1])
    for room in (Room(1, usual.slots), Room(usual.lines, tuple(1 for _ in usual.slots))):
        problem._packer._rooms[tokens.shape[1]] = room
        assert not problem._packer(tokens, labels)[1]
        assert_same_as_rows(problem, theta, tokens, labels)


@each_task
def test_one_row_over_and_over_and_the_shortest_rows(spec, doubles):
    problem = doubles(spec)
    theta, tokens, labels = parameters(problem), problem.data.tokens, problem.data.labels
    lengths = (labels[0] != UNLABELLED).sum(-1)
    shortest, longest = lengths.argmin().item(), lengths.argmax().item()
    for rows in ([longest] * 5, [shortest], [shortest, longest, shortest]):
        assert_same_as_rows(problem, theta, tokens[:, rows], labels[:, rows])


def test_rows_of_one_token(doubles):
    problem = doubles(DYCK)
    theta, (tokens, labels) = parameters(problem), problem.batch(0)
    labels = labels.clone()
    labels[:, :4, 1:] = UNLABELLED  # four rows with a label at their first position only
    labels[:, 5] = UNLABELLED  # and one with none
    assert_same_as_rows(problem, theta, tokens, labels)


@each_task
def test_products_with_the_hessian(spec, doubles):
    problem = doubles(*two_runs(spec))
    theta, (tokens, labels) = parameters(problem), problem.batch(0)
    V = torch.randn(2, 2, theta.shape[1], generator=torch.Generator().manual_seed(2)).double()
    ours = problem.hessian_vector(theta, tokens, labels, V)
    assert_equal(ours, problem.network.hessian_vector(theta, tokens, labels, V))


@each_task
def test_evaluation(spec, doubles):
    problem = doubles(*two_runs(spec))
    theta = parameters(problem)
    ours = PackedScores(problem.network, problem.data)(theta)
    loss, correct = RowScores(problem.network, problem.data)(theta)
    assert_equal(ours[0], loss)
    assert torch.equal(ours[1], correct)
    metrics = problem.evaluate(theta)
    for name, expected in problem.data.means(loss, correct).items():
        assert_equal(metrics[name], expected)


def test_evaluation_in_pieces(doubles, monkeypatch):
    from spectraledge.training import scores

    problem = doubles(*two_runs(DYCK))
    theta = parameters(problem)
    whole = PackedScores(problem.network, problem.data)
    monkeypatch.setattr(scores, "SLOTS", 100)
    pieces = PackedScores(problem.network, problem.data)
    assert len(pieces._pieces) > 3
    assert_equal(pieces(theta)[0], whole(theta)[0])


def test_nearly_every_batch_has_the_usual_shape():
    problem = Problem(two_runs(DYCK), EAGER)
    shapes = {problem._packer(*problem.batch(step))[1] for step in range(5)}
    usual = [problem._packer(*problem.batch(step))[1] for step in range(200)]
    assert True in shapes
    assert sum(usual) > 180


def test_runs_with_the_same_data_have_the_same_room_whatever_their_seeds():
    alone = Problem([replace(DYCK, seed=5)], EAGER)._packer.room(20)
    assert Problem([DYCK, replace(DYCK, seed=5)], EAGER)._packer.room(20) == alone


def test_tasks_with_one_answer_are_not_packed():
    assert Problem([TINY], EAGER)._packer is None


@pytest.mark.slow
@pytest.mark.filterwarnings("error:.*runs eagerly")
@each_task
def test_compiled_is_eager(spec):
    specs = [replace(s, steps=3, record_every=3) for s in two_runs(spec)]
    eager, fast = ([*train(Problem(specs, e))] for e in (EAGER, Execution()))
    for ours, theirs in zip(fast, eager):
        for name in ("train_loss", "validation_loss", "validation_sequence_accuracy"):
            # Float32 sums in another order, and three steps.
            torch.testing.assert_close(
                ours.metrics[name], theirs.metrics[name], rtol=1e-4, atol=1e-5
            )
