"""Labels for every position: losses and accuracies by hand, padding left out, runs apart."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from cases import EAGER
from spectraledge.models import CausalDecoderSpec, EncoderDecoderSpec
from spectraledge.tasks import UNLABELLED, DyckDepth, Scan
from spectraledge.training import Problem, RunSpec, train

MODEL = CausalDecoderSpec(width=8, heads=2, mlp_width=8, positions=8)
TASK = DyckDepth(pairs=4, train=6, held_out=12)


def spec(seed: int = 0, steps: int = 6) -> RunSpec:
    return RunSpec(
        task=TASK, model=MODEL, steps=steps, batch_size=5, sampling="replacement", seed=seed,
        data_seed=seed, record_every=3, lr=1e-2,
    )  # fmt: skip


def by_hand(problem: Problem, run: int, theta, tokens, labels):
    """Mean cross-entropy and accuracy over labelled positions, one position at a time."""
    parameters = problem.layout.views(theta[run])
    logits = functional_call(problem.network.skeleton, parameters, (tokens[run],))
    losses, hits = [], []
    for row, own in zip(logits, labels[run]):
        for scores, label in zip(row, own):
            if label != UNLABELLED:
                losses.append(F.cross_entropy(scores[None], label[None]))
                hits.append(float(scores.argmax() == label))
    return torch.stack(losses).mean(), sum(hits) / len(hits)


def test_loss_and_accuracy_of_a_batch_are_means_over_labelled_positions():
    problem = Problem([spec(0), spec(1)], EAGER)
    theta = problem.initial_parameters()
    tokens, labels = problem.batch(0)
    assert labels.shape == (2, 5, 8)
    _, loss, accuracy = problem.gradient(theta, tokens, labels)
    for run in range(2):
        expected, right = by_hand(problem, run, theta, tokens, labels)
        # Float32 sums in another order.
        assert loss[run].item() == pytest.approx(expected.item(), rel=1e-5)
        assert accuracy[run].item() == pytest.approx(right, rel=1e-6)


def test_evaluation_counts_positions_and_whole_rows():
    problem = Problem([spec(0), spec(1)], EAGER)
    theta = problem.initial_parameters()
    metrics = problem.evaluate(theta)
    for run in range(2):
        data = TASK.dataset(run)
        rows = data.validation
        own = theta[run : run + 1]
        loss, right = by_hand(problem, 0, own, data.tokens[rows][None], data.labels[rows][None])
        assert metrics["validation_loss"][run].item() == pytest.approx(loss.item(), rel=1e-5)
        assert metrics["validation_accuracy"][run].item() == pytest.approx(right, rel=1e-6)
        guesses = problem.logits(own, data.tokens[rows][None])[0].argmax(-1)
        labels = data.labels[rows]
        whole = ((guesses == labels) | (labels == UNLABELLED)).all(1).double().mean()
        assert metrics["validation_sequence_accuracy"][run].item() == whole.item()


def test_padding_changes_neither_loss_nor_gradient():
    problem = Problem([spec()], EAGER)
    theta = problem.initial_parameters()
    tokens, labels = problem.batch(0)
    other = torch.where(labels == UNLABELLED, 0, tokens)
    assert not torch.equal(other, tokens)
    for ours, theirs in zip(
        problem.gradient(theta, tokens, labels), problem.gradient(theta, other, labels)
    ):
        # The embedding of padding gets no gradient either way; sums of zeros may round elsewhere.
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_a_batch_of_runs_is_the_runs_alone_and_learns():
    specs = [spec(0, 60), replace(spec(1, 60), data_seed=0)]
    together = list(train(Problem(specs, EAGER)))
    for run in range(2):
        alone = list(train(Problem([specs[run]], EAGER)))
        torch.testing.assert_close(
            together[-1].parameters[run], alone[-1].parameters[0], rtol=1e-4, atol=1e-5
        )
    first, last = (s.metrics["train_accuracy"] for s in (together[0], together[-1]))
    assert (last > first + 0.2).all()


def test_runs_with_other_data_beside_it_change_no_run_beyond_rounding():
    specs = [spec(0, 20), spec(1, 20)]
    start = Problem(specs, EAGER).initial_parameters()
    *_, together = train(Problem(specs, EAGER))
    for run in range(2):
        *_, alone = train(Problem(specs[run : run + 1], EAGER))
        # Lines are as many as the run needs that has most, so sums have other orders; Adam makes
        # steps of full size of gradients that are nothing but rounding, as of the key biases.
        own = torch.ones(start.shape[1], dtype=torch.bool)
        for name, view in Problem(specs, EAGER).layout.views(own).items():
            if name.endswith("qkv.bias"):
                view[8:16] = False
        moved = (alone.parameters[0] - start[run])[own].norm()
        difference = (together.parameters[run] - alone.parameters[0])[own].norm()
        assert difference < 1e-3 * moved


def test_translation_is_trained_and_scored():
    task = Scan(train=8, held_out=4)
    model = EncoderDecoderSpec(width=8, layers=1, heads=2, mlp_width=8)
    runs = [
        RunSpec(task=task, model=model, steps=30, batch_size=8, seed=s, data_seed=s, lr=1e-2,
                record_every=30)
        for s in (0, 1)
    ]  # fmt: skip
    first, last = train(Problem(runs, EAGER))
    assert (last.metrics["train_loss"] < 0.7 * first.metrics["train_loss"]).all()
    for name in ("train_sequence_accuracy", "validation_sequence_accuracy"):
        assert ((last.metrics[name] >= 0) & (last.metrics[name] <= 1)).all()
