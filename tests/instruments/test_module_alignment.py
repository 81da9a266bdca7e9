"""Alignment of foreign modules with their commutators: planted moves, and the live instrument."""

import math

import pytest
import torch
from torch import nn

from cases import EAGER, tiny
from instruments.foreign_regression import loss, regression
from spectraledge.instruments import CurvatureAlignment, Window, curvature_alignment_of
from spectraledge.instruments.commutator_defect import SALT
from spectraledge.instruments.loss_closure import LossClosure
from spectraledge.instruments.module_brackets import module_brackets
from spectraledge.snapshots import flatten_parameters
from spectraledge.training import Problem, Trainer

EVERY = CurvatureAlignment(kinds=())


def moved_by(model, flat):
    """The state dictionary from which a model came that moved by `flat`."""
    views = torch.split(flat, [p.numel() for p in model.parameters()])
    return {
        name: p.detach() - part.view_as(p)
        for (name, p), part in zip(model.named_parameters(), views)
    }


def test_a_move_along_a_bracket_is_aligned_with_it():
    model, batches = regression(2)
    closure = LossClosure(model, loss, "test")
    theta = flatten_parameters(model)[None]
    (pair,) = module_brackets("test", closure, theta, batches, 6)
    found = curvature_alignment_of(model, loss, batches, moved_by(model, pair.bracket[0]), EVERY)
    # The move is a difference of parameters: it is known to 1e-16 of them.
    assert found["mean_cosine"]["all"] == pytest.approx(1, abs=1e-9)
    assert found["subspace_share"]["all"] == pytest.approx(1, abs=1e-9)
    assert found["rank"]["all"] == 1.0
    assert found["displacement"]["all"] == pytest.approx(pair.bracket.norm().item(), rel=1e-9)


def test_decay_alone_leaves_nothing_learned():
    model, batches = regression()
    before = {name: values / 0.9 for name, values in model.state_dict().items()}
    found = curvature_alignment_of(model, loss, batches, before, EVERY, decayed=0.9)
    size = found["displacement"]["all"]
    # Two roundings of the parameters, whose norm is ten times the move.
    assert found["displacement"]["without_decay"] < 1e-13 * size
    unknown = curvature_alignment_of(model, loss, batches, before, EVERY)
    assert math.isnan(unknown["displacement"]["without_decay"])
    assert unknown["displacement"]["all"] == size


def test_it_measures_what_the_live_instrument_does():
    spec = tiny(steps=4, record_every=2)
    problem = Problem([spec], EAGER)
    before, now = list(Trainer(problem).snapshots())[-2:]
    expected = CurvatureAlignment(pairs=3).measure(Window((before, now), problem))
    task = spec.task
    model = spec.model.build(
        vocabulary=task.vocabulary, length=task.length, classes=task.classes, seed=0
    )
    states = [{n: v[0] for n, v in s.layout.views(s.parameters).items()} for s in (before, now)]
    model.load_state_dict(states[1], strict=False)
    batches = [problem.batch(now.step, f"{SALT}/{i}") for i in range(3)]
    found = curvature_alignment_of(
        model,
        lambda model, batch: nn.functional.cross_entropy(model(batch[0][0]), batch[1][0]),
        batches,
        states[0],
        CurvatureAlignment(pairs=3),
    )
    for name in ("displacement", "mean_cosine", "subspace_share", "rank", "subspace_ratio"):
        for variant, column in (("all", 0), ("attention", 2)):
            # Two orders of float32 operations.
            assert found[name][variant] == pytest.approx(
                expected[name][0, column].item(), rel=1e-3
            ), (name, variant)


def test_errors_say_what_to_do():
    model, batches = regression()
    state = model.state_dict()
    with pytest.raises(ValueError, match=r"before has no 0\.weight, 0\.bias, 2\.weight"):
        curvature_alignment_of(model, loss, batches, {}, EVERY)
    with pytest.raises(ValueError, match=r"0\.bias of shape \(3,\), the model \(6,\)"):
        curvature_alignment_of(model, loss, batches, state | {"0.bias": torch.ones(3)}, EVERY)
    with pytest.raises(ValueError, match=r"between 0 and 1 or None, got 1\.1"):
        curvature_alignment_of(model, loss, batches, state, EVERY, decayed=1.1)
    with pytest.raises(ValueError, match="expected two batches at least, got 1"):
        curvature_alignment_of(model, loss, batches[:1], state, EVERY)
