"""Logits of fixed rows: packed, stacked or alone, they are those of the model."""

from dataclasses import replace

import pytest
import torch

from cases import EAGER, tiny
from spectraledge.models import CausalDecoderSpec, EncoderDecoderSpec
from spectraledge.tasks import UNLABELLED, DyckDepth, Scan
from spectraledge.training import Problem, RunSpec, row_logits
from spectraledge.training.partial_evaluation import partial_evaluation

DYCK = RunSpec(
    task=DyckDepth(pairs=4, train=10, held_out=60, sampling="published"),
    model=CausalDecoderSpec(width=8, heads=2, mlp_width=12, positions=8),
    batch_size=4,
)
SCAN = RunSpec(
    task=Scan(train=20, held_out=30),
    model=EncoderDecoderSpec(width=8, heads=2, mlp_width=8, layers=1),
    batch_size=4,
)
SPECS = {"modular": tiny(), "dyck": DYCK, "scan": SCAN}


@pytest.mark.parametrize("alone", [False, True], ids=["stacked", "alone"])
@pytest.mark.parametrize("name", list(SPECS))
def test_logits_where_there_is_a_label(name, alone, monkeypatch):
    monkeypatch.setattr(row_logits, "ALONE", 0 if alone else 10**9)
    problem = Problem([replace(SPECS[name], seed=s, data_seed=s) for s in range(2)], EAGER)
    tokens, labels = problem.held_out(12)
    start = problem.initial_parameters()
    thetas = torch.stack([start, 0.9 * start, start.flip(0)], 1)
    logits = problem.row_logits(tokens, labels)
    found = logits(thetas)
    assert found.shape[:2] == (2, 3)
    assert logits.equal.shape == labels.shape
    labelled = labels != UNLABELLED
    for k in range(3):
        expected = problem.logits(thetas[:, k], tokens)
        # Float32 sums in another order.
        torch.testing.assert_close(found[:, k][labelled], expected[labelled], rtol=1e-4, atol=1e-5)
    for run in range(2):
        same = logits.equal[run][labelled[run]]
        for number in same.unique():
            group = found[run, 0][labelled[run]][same == number]
            assert torch.equal(group, group[:1].expand_as(group))


def test_a_broken_model_does_not_touch_the_others():
    problem = Problem([DYCK, replace(DYCK, seed=1)], EAGER)
    rows = problem.held_out(12)
    thetas = problem.initial_parameters().unsqueeze(1).repeat(1, 2, 1)
    whole = problem.row_logits(*rows)(thetas)
    thetas[0, 1] = torch.nan
    broken = problem.row_logits(*rows)(thetas)
    assert broken[0, 1].isnan().all()
    assert torch.equal(broken[1], whole[1])
    assert torch.equal(broken[0, 0], whole[0, 0])


def test_held_out_rows_are_validation_before_test_and_do_not_depend_on_batch_mates():
    few = replace(DYCK, task=replace(DYCK.task, held_out=30), data_seed=1)
    problem = Problem([DYCK, few], EAGER)
    tokens, labels = problem.held_out(50)
    data = DYCK.task.dataset(DYCK.data_seed)
    first = torch.cat([data.validation, data.test])[:50]
    assert torch.equal(tokens[0], data.tokens[first])
    assert torch.equal(labels[0], data.labels[first])
    own = few.task.dataset(1)
    assert torch.equal(labels[1, :30], own.labels[torch.cat([own.validation, own.test])])
    assert bool((labels[1, 30:] == UNLABELLED).all())
    with pytest.raises(ValueError, match="rows >= 1, got 0; ask for at least one row"):
        problem.held_out(0)


def test_what_depends_on_the_others_alone_is_not_computed_again():
    def function(x, y, mask):
        return (x @ y.exp()).masked_fill(mask, -torch.inf).softmax(-1)

    x, y = torch.randn(2, 3), torch.randn(3, 3)
    mask = torch.eye(3).bool()[:2]
    prepare, finish = partial_evaluation(function, x, [y, mask])
    known = prepare(y, mask)
    torch.testing.assert_close(finish(x, *known), function(x, y, mask))
    operations = {str(node.target) for node in finish.graph.nodes}
    assert "aten.exp.default" not in operations
    assert "aten.masked_fill.Scalar" not in operations


def test_finite_numbers_under_a_mask_stay():
    def function(x, mask):
        return x.masked_fill(mask, 7.0)

    x, mask = torch.randn(3), torch.tensor([True, False, True])
    prepare, finish = partial_evaluation(function, x, [mask])
    assert torch.equal(finish(x, *prepare(mask)), function(x, mask))
