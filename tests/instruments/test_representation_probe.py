"""The probe of layers on planted representations, and on a small model of bracket depths."""

from dataclasses import replace

import pytest
import torch
from lookup_problem import PAD, LookupProblem, depths, gaussian, labelled, snapshots
from torch import nn

from cases import EAGER
from spectraledge.instruments import Observer, RepresentationProbe, Window, instrument_key
from spectraledge.instruments.labelled_tokens import Rows, held_out_runs
from spectraledge.instruments.representation_probe import probe_layer
from spectraledge.models import CausalDecoderSpec
from spectraledge.tasks import UNLABELLED, DyckDepth
from spectraledge.training import Problem, RunSpec, Trainer
from spectraledge.updates import Adam, WeightDecay

FAST = RepresentationProbe(readers=("linear",), rows=60)


def rows(tokens, labels, **changes):
    trained = torch.zeros(len(tokens), dtype=torch.bool)
    return Rows(torch.tensor(tokens), torch.tensor(labels), trained, **changes)


def test_tokens_stand_beside_their_labels():
    own = rows([[5, 6, 7], [5, 6, 9]], [[1, 2, UNLABELLED], [3, UNLABELLED, UNLABELLED]])
    h = torch.arange(6.0).reshape(2, 3, 1)
    found = own.labelled(h)
    assert found.features[:, 0].tolist() == [0, 1, 3]
    assert found.labels.tolist() == [1, 2, 3]
    assert found.tokens.tolist() == [5, 6, 5]
    assert found.position.tolist() == [0, 1, 0]
    assert found.sequence.tolist() == [0, 0, 1]
    # Outputs of a decoder behind a source stand at the end of the row.
    assert rows([[8, 8, 5, 6]], [[1, 2]]).labelled(torch.ones(1, 2, 3)).tokens.tolist() == [5, 6]


def test_one_label_a_row_is_read_at_the_read_out():
    for position, expected in ((0, [0, 3]), (-1, [2, 5])):
        own = rows([[5, 6, 7], [8, 6, 9]], [1, 2], read_out=position)
        found = own.labelled(torch.arange(6.0).reshape(2, 3, 1))
        assert found.features[:, 0].tolist() == expected
        assert found.tokens.tolist() == [own.tokens[0, position], own.tokens[1, position]]
        same = own.labelled(torch.tensor([[1.0], [2.0]]))
        assert same.features[:, 0].tolist() == [1, 2]
    padded = rows([[5, 6], [5, 6]], [1, UNLABELLED])
    assert padded.labelled(torch.ones(2, 2, 4)).features.shape == (1, 4)


def test_other_positions_have_the_first_label_and_no_padding():
    own = rows([[3, 4, 0, 1, 7], [3, 0, 0, 1, 7]], [[6, 7], [5, UNLABELLED]], padding=0)
    found = own.labelled(torch.ones(2, 3, 2))
    assert found.labels.tolist() == [6, 6, 5]
    assert found.tokens.tolist() == [3, 4, 3]
    assert len(replace(own, padding=None).labelled(torch.ones(2, 3, 2)).labels) == 6


def test_equal_rows_are_one_sequence_and_trained_ones_are_left_out():
    tokens = torch.tensor([[1, 2], [3, 4], [1, 2]])
    own = Rows(tokens, tokens, torch.tensor([False, True, False]))
    found = own.labelled(torch.ones(3, 2, 1))
    assert found.sequence[0] == found.sequence[4] != found.sequence[2]
    assert found.novel().labels.tolist() == [1, 2, 1, 2]
    every = replace(own, trained=torch.ones(3, dtype=torch.bool)).labelled(torch.ones(3, 2, 1))
    assert len(every.novel().labels) == 6
    with pytest.raises(ValueError, match=r"expected representations \(3, D\) .* got \(2, 2, 1\)"):
        own.labelled(torch.ones(2, 2, 1))


def test_the_published_held_out_rows_occur_in_training_as_often_as_is_known():
    spec = RunSpec(
        task=DyckDepth(sampling="published"), model=CausalDecoderSpec(width=8, heads=2),
        updates=(Adam(),), steps=1, batch_size=4, record_every=1, data_seed=0,
    )  # fmt: skip
    problem = Problem([spec, replace(spec, seed=1)], EAGER)
    tokens, labels = problem.held_out(5000)
    trained = problem.occurs_in_training(tokens)
    # 1221 of 5000, and 3779 novel rows of 59,266 tokens: arXiv:2604.07380's data.
    assert trained.sum(1).tolist() == [1221, 1221]
    assert (labels[0][~trained[0]] != UNLABELLED).sum().item() == 59266
    first = next(held_out_runs(problem, 300))
    assert len(first.labelled(torch.zeros(300, 24, 1)).labels) == 3978


def test_controls_tell_a_probe_from_what_it_would_read_anyway():
    depth = depths(60, 12)
    direction = gaussian(1, 16, seed=1)
    tokens = labelled(depth[..., None] * direction + gaussian(60, 12, 16, seed=2), depth)
    found = probe_layer(tokens, tokens, "linear")
    # The planted direction has 16 units of noise variance against ‖direction‖² times that of depth.
    assert found["score"] > 0.95
    assert found["lowest"] <= found["score"] <= found["highest"]
    assert found["shuffled"] < 0.1
    assert found["random_direction"] < found["score"] - 0.1
    assert found["published_score"] == pytest.approx(found["score"], abs=0.05)


def test_shrunken_features_hide_from_the_published_probe_alone():
    depth = depths(60, 12)
    h = depth[..., None] * gaussian(1, 16, seed=1) + gaussian(60, 12, 16, seed=2)
    large, small = (
        probe_layer(labelled(c * h, depth), labelled(c * h, depth), "linear") for c in (1.0, 1e-3)
    )
    assert small["score"] == pytest.approx(large["score"], abs=1e-9)
    assert small["published_score"] < 0.1 < 0.9 < large["published_score"]


def test_a_planted_layer_is_read_and_a_broken_run_is_nan():
    tokens = depths(40, 10)[None].repeat(2, 1, 1)
    tokens[:, :, 7:] = PAD
    line = torch.outer(gaussian(PAD + 1), torch.arange(PAD + 1).double())
    matrix = torch.stack([line, line * torch.nan]).float()
    (found,) = Observer([FAST], LookupProblem(tokens)).observe(snapshots(matrix)[0]).values()
    # Alone a feature, depth times a number: read exactly, but for the penalty of 1e-6.
    assert found["score"][0].item() == pytest.approx(1, abs=1e-4)
    assert found["accuracy"][0].item() == 1
    assert found["published_score"][0] > 0.99
    for name, array in found.items():
        assert array[1].isnan().all(), name
    # Nobody can say what it was before training.
    assert found["untrained"].isnan().all()


@pytest.fixture(scope="module")
def brackets():
    spec = RunSpec(
        task=DyckDepth(pairs=6, train=40, held_out=120),
        model=CausalDecoderSpec(width=16, layers=2, heads=2, mlp_width=32, positions=12),
        updates=(WeightDecay(0.1), Adam()),
        steps=60,
        batch_size=40,
        record_every=60,
    )
    problem = Problem([spec], EAGER)
    return problem, list(Trainer(problem).snapshots())


def test_layers_of_a_model_of_brackets(brackets):
    problem, taken = brackets
    probe = replace(FAST, modules=("blocks.0:input", "blocks.0", "blocks.1"), rows=100)
    observer = Observer([probe], problem)
    start, end = (observer.observe(s)[instrument_key(probe)] for s in taken)
    assert probe.labels(Window((taken[0],)))["module"] == probe.modules
    # Before training the network is the untrained one; that control has the first split only.
    assert start["lowest"].le(start["untrained"] + 1e-12).all()
    assert start["highest"].ge(start["untrained"] - 1e-12).all()
    assert torch.equal(start["untrained"], end["untrained"])
    # A token and its position say less about depth than what attention has counted.
    assert end["score"][0, 0, 0] + 0.1 < end["score"][0, 1, 0]
    assert end["readout_accuracy"] > start["readout_accuracy"]


def test_a_small_network_reads_the_same_number_twice(brackets):
    problem, taken = brackets
    probe = RepresentationProbe(readers=("mlp",), rows=40)
    first, second = (probe.measure(Window((taken[-1],), problem)) for _ in range(2))
    for name in first:
        assert torch.equal(first[name], second[name]), name
    assert first["lowest"].equal(first["highest"])


def test_errors(brackets):
    with pytest.raises(ValueError, match=r"unknown reader for RepresentationProbe 'ridge'"):
        RepresentationProbe(readers=("ridge",))
    with pytest.raises(ValueError, match="expected rows >= 1, seeds >= 1 and a reader, got 0, 3"):
        RepresentationProbe(rows=0)
    problem, taken = brackets
    with pytest.raises(ValueError, match=r"unknown module 'block.0'; known: .*did you mean"):
        replace(FAST, modules=("block.0",)).measure(Window((taken[0],), problem))
    with pytest.raises(ValueError, match="evaluates the model; pass Window"):
        FAST.measure(Window((taken[0],)))

    class Bare:
        def logits(self, theta, tokens):
            return nn.Identity()

    with pytest.raises((ValueError, TypeError), match=r"looks inside the model|Bare"):
        FAST.measure(Window((taken[0],), Bare()))
