"""Composition tests on brackets, whose depth is a count, and the geometry of planted classes."""

import pytest
import torch
from lookup_problem import LookupProblem, gaussian, snapshots

from cases import EAGER
from spectraledge.instruments import DepthComposition, Window
from spectraledge.instruments.depth_composition import (
    READINGS,
    _running_count,
    class_geometry,
    composition_scores,
)
from spectraledge.instruments.labelled_tokens import LabelledTokens, held_out_runs
from spectraledge.models import CausalDecoderSpec
from spectraledge.tasks import UNLABELLED, DyckDepth
from spectraledge.training import Problem, RunSpec, Trainer
from spectraledge.updates import Adam


def brackets(rows=200) -> LabelledTokens:
    """Tokens of the published data with features that are multiples of the depth."""
    dataset = DyckDepth(sampling="published").dataset(0)
    tokens, labels = dataset.tokens[:rows], dataset.labels[:rows]
    kept = labels != UNLABELLED
    row, position = kept.nonzero(as_tuple=True)
    depth = labels[kept]
    h = depth.double()[:, None] * torch.tensor([[1.0, 2.0]]).double()
    none = torch.zeros(len(row), dtype=torch.bool)
    return LabelledTokens(h, depth, tokens[kept], row, position, none)


def test_the_running_count_of_brackets_is_their_depth():
    tokens = brackets()
    sign = 1.0 - 2.0 * tokens.tokens.double()[:, None]
    assert torch.equal(_running_count(tokens, sign)[:, 0], tokens.labels.double())


@pytest.mark.parametrize("protocol", ["published", "scale_free"])
def test_crossed_features_hold_the_label_whatever_the_network(protocol):
    found = dict(zip(READINGS, composition_scores(brackets(3000), 24, protocol)))
    # A penalty of 1 among 2000 tokens, or of 1e-6 of their number.
    assert found["with crosses"] > 0.999
    assert found["representation"] > 0.999
    assert found["representation to count"] == pytest.approx(found["representation"])
    # The paper gives 0.093 and 0.025 for 500 rows; here are 3000.
    assert 0.05 < found["token"] < 0.15
    assert -0.02 < found["position"] < 0.08
    assert found["token"] < found["token and position"] < 0.3
    # Depth alone does not say which bracket was read.
    assert found["representation to token"] < 0.2


def test_means_on_a_line_have_one_direction():
    labels = torch.arange(5).repeat_interleave(40)
    noise = gaussian(200, 8)
    noise -= torch.stack([noise[labels == c].mean(0) for c in range(5)])[labels]
    line = 3 * labels.double()[:, None] * torch.eye(8).double()[0] + noise
    share, distance, relative = class_geometry(line, labels)
    assert share == pytest.approx(1.0)
    assert distance == pytest.approx(3.0)
    spread = (line - line.mean(0)).square().sum(1).mean().sqrt().item()
    assert relative == pytest.approx(3 / spread)
    scaled = class_geometry(1e-3 * line, labels)
    assert scaled == pytest.approx((1.0, 3e-3, relative))
    even = class_geometry(torch.eye(5).double(), torch.arange(5))
    # Means of a simplex: four equal directions.
    assert even[0] == pytest.approx(0.25)


def test_one_class_has_no_geometry():
    assert all(x != x for x in class_geometry(gaussian(5, 2), torch.zeros(5)))


def test_it_reads_a_network():
    spec = RunSpec(
        task=DyckDepth(pairs=6, train=60, held_out=130),
        model=CausalDecoderSpec(width=16, heads=2, mlp_width=16, layers=1, positions=12),
        updates=(Adam(),),
        lr=5e-3,
        batch_size=60,
        steps=150,
        record_every=150,
    )
    problem = Problem([spec], EAGER)
    first, last = Trainer(problem).snapshots()
    instrument = DepthComposition(rows=100)
    before, after = (instrument.measure(Window((s,), problem)) for s in (first, last))
    at = READINGS.index("representation")
    assert after["score"][0, at] > before["score"][0, at]
    assert after["class_score"].item() > 0.8
    for name in ("token", "position", "with crosses"):
        # What follows from the input alone is the same of every network.
        i = READINGS.index(name)
        assert before["published_score"][0, i] == after["published_score"][0, i]


def test_a_run_that_diverged_is_nan():
    problem = LookupProblem(torch.randint(0, 2, (1, 20, 6)))
    broken = DepthComposition(rows=20).measure(
        Window((snapshots(torch.full((1, 12, 12), torch.nan).double())[0],), problem)
    )
    assert broken["class_share"].isnan().all()
    assert broken["score"][0, READINGS.index("representation")].isnan()
    assert next(held_out_runs(problem, 3)).tokens.shape == (3, 6)


def test_bad_fields():
    with pytest.raises(ValueError, match="rows >= 1, got 0"):
        DepthComposition(rows=0)
