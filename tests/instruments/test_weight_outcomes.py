"""Many points at once against one point, one run and one row at a time."""

import pytest
import torch
import torch.nn.functional as F
from functional_problems import ModelProblem, QuadraticLoss, gaussian, quadratic_run

from spectraledge.instruments import weight_outcomes
from spectraledge.instruments.held_out_rows import HeldOutRows, LabelledOutputs
from spectraledge.instruments.parameter_subset import ATTENTION_WEIGHTS, chosen_columns
from spectraledge.instruments.weight_outcomes import Outcomes, outcomes
from spectraledge.tasks import UNLABELLED

ROWS, POINTS = 50, 7


@pytest.fixture(scope="module")
def problem() -> ModelProblem:
    return ModelProblem()


def setting(problem):
    columns = chosen_columns(problem.layout, ATTENTION_WEIGHTS)
    base = problem.start[:, columns]
    moves = [base + 0.1 * gaussian(*base.shape, seed=k) for k in range(POINTS)]
    return columns, moves, HeldOutRows.of(*problem.held_out(ROWS))


def oracle(problem, theta, columns, point, run):
    """Loss, accuracy, divergence and response of one run at one point, row by row."""
    tokens, labels = (x[run] for x in problem.held_out(ROWS))
    moved = theta.clone()
    moved[columns] = point
    loss = right = divergence = response = count = 0.0
    for x, y in zip(tokens, labels):
        before, after = (problem.one(t, x[None])[0][y != UNLABELLED] for t in (theta, moved))
        kept = y[y != UNLABELLED]
        loss += float(F.cross_entropy(after, kept, reduction="sum"))
        right += float((after.argmax(-1) == kept).sum())
        p, q = before.softmax(-1), after.softmax(-1)
        divergence += float((p * (p / q).log()).sum())
        response += float((after - before).square().sum())
        count += len(kept)
    return loss / count, right / count, divergence / count, (response / count) ** 0.5


def test_a_slow_and_obvious_twin_agrees(problem):
    columns, points, rows = setting(problem)
    assert rows.tokens.shape[1] < ROWS
    found = outcomes(problem, problem.start, columns, points, rows)
    for run in range(2):
        for k in (0, POINTS - 1):
            slow = oracle(problem, problem.start[run], columns, points[k][run], run)
            fast = [getattr(found, n)[run, k + 1].item()
                    for n in ("loss", "accuracy", "divergence", "response")]  # fmt: skip
            # Sums of the same 500 terms in another order.
            assert fast == pytest.approx(slow, rel=1e-10)


@pytest.mark.parametrize("tokens", [1, 900, 10**9])
def test_numbers_do_not_depend_on_how_points_are_stacked(problem, monkeypatch, tokens):
    columns, points, rows = setting(problem)
    expected = outcomes(problem, problem.start, columns, points, rows)
    monkeypatch.setattr(weight_outcomes, "TOKENS", tokens)
    found = outcomes(problem, problem.start, columns, iter(points), rows)
    for name in vars(expected):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-12,
                                   atol=1e-15)  # fmt: skip


def test_a_forward_pass_is_bounded(monkeypatch):
    problem, theta = QuadraticLoss(), quadratic_run(1)[0].parameters
    rows = HeldOutRows.of(*problem.held_out(10))
    monkeypatch.setattr(weight_outcomes, "TOKENS", 45)  # three models of five rows of three
    outcomes(problem, theta, torch.arange(20), (theta[:, :20] for _ in range(8)), rows)
    assert max(problem.stacked) <= 45
    # Runs go by themselves: the base of both, then eight points of both, three at a time.
    assert sorted(problem.stacked) == [15] * 2 + [30] * 2 + [45] * 4


def test_divergence_is_zero_at_the_base_positive_off_it_and_quadratic_near_it(problem):
    columns, _, rows = setting(problem)
    base, move = problem.start[:, columns], gaussian(2, len(columns), seed=9)
    sizes = (1e-4, 2e-4, 0.1)
    found = outcomes(problem, problem.start, columns, [base + s * move for s in sizes], rows)
    none, once, twice, far = found.divergence.unbind(1)
    assert none.tolist() == [0.0, 0.0]
    assert float(far.min()) > 0
    # The cubic term, relative to the quadratic one, is of the order of the displacement.
    torch.testing.assert_close(twice / once, torch.full((2,), 4.0).double(), rtol=1e-2, atol=0)


def test_a_broken_run_is_nan_and_the_other_is_not(problem):
    columns, points, rows = setting(problem)
    theta = problem.start.clone()
    theta[0] = torch.nan
    broken = [torch.where(torch.tensor([[True], [False]]), torch.nan, p) for p in points]
    found = outcomes(problem, theta, columns, broken, rows)
    whole = outcomes(problem, problem.start, columns, points, rows)
    for name in vars(found):
        values = getattr(found, name)
        assert values[0].isnan().all(), name
        assert torch.equal(values[1], getattr(whole, name)[1]), name


def test_rows_of_runs_with_different_repeats():
    tokens = torch.tensor([[[1], [1], [1]], [[1], [2], [3]]])
    labels = torch.tensor([[[0, 1], [0, 1], [0, UNLABELLED]], [[0, 0], [1, 1], [UNLABELLED] * 2]])
    rows = HeldOutRows.of(tokens, labels)
    assert rows.tokens.shape == (2, 2, 1)
    assert rows.weights.sum((1, 2)).tolist() == [5.0, 4.0]
    # The first outputs of both rows of the first run are called equal.
    equal = torch.tensor([[[7, 1], [7, 2]], [[0, 1], [2, 3]]])
    outputs = LabelledOutputs.of(rows, equal)
    assert outputs.weights.sum(1).tolist() == [5.0, 4.0]
    assert sorted(outputs.weights[0].tolist()) == [0.0, 0.0, 2.0, 3.0]
    logits = torch.arange(8.0).view(2, 1, 2, 2, 1)
    chosen = outputs.among(logits).squeeze()
    assert torch.equal(chosen[1], torch.arange(4.0) + 4)
    assert (
        outputs.mean(torch.ones(2, 3, outputs.index.shape[1]).double()).tolist() == [[1.0] * 3] * 2
    )
    # Equal tokens with different labels are different rows.
    assert sorted(rows.weights[0].flatten().tolist()) == [0.0, 1.0, 2.0, 2.0]


def test_errors():
    with pytest.raises(ValueError, match="none in 2 rows; ask for more rows"):
        HeldOutRows.of(torch.zeros(1, 2, 3, dtype=torch.int64), torch.full((1, 2), UNLABELLED))


def test_outcomes_are_documented():
    assert all(f"{name}:" in (Outcomes.__doc__ or "") for name in Outcomes.__dataclass_fields__)
