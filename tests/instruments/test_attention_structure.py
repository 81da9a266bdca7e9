"""Attention of known shape, and of models whose attention is known."""

from math import lgamma, log

import pytest
import torch
from lookup_problem import LookupProblem, snapshots

from cases import EAGER
from spectraledge.instruments import AttentionStructure, Window, attention_measures
from spectraledge.instruments.attention_structure import labelled_queries
from spectraledge.instruments.labelled_tokens import Rows
from spectraledge.instruments.representations import AttentionPattern
from spectraledge.models import CausalDecoderSpec, EncoderDecoderSpec
from spectraledge.snapshots import Snapshot
from spectraledge.tasks import UNLABELLED, DyckDepth, Scan
from spectraledge.training import Problem, RunSpec
from spectraledge.updates import Adam

T = 24
CAUSAL = torch.ones(1, T, T, dtype=torch.bool).tril()


def every(pattern):
    return torch.ones(pattern.seen.shape[:2], dtype=torch.bool)


def pattern(weights, seen=CAUSAL):
    """One head; rows are normalised."""
    weights = weights.double() * seen
    return AttentionPattern((weights / weights.sum(-1, keepdim=True)).unsqueeze(1), seen)


def test_even_causal_attention_has_the_known_entropy():
    own = pattern(torch.ones(1, T, T))
    found = attention_measures(own, every(own))
    expected = lgamma(T + 1) / T
    assert expected == pytest.approx(2.2827, abs=1e-4)
    assert found["entropy"].item() == pytest.approx(expected, rel=1e-12)
    assert found["uniform_entropy"].item() == pytest.approx(expected, rel=1e-12)
    assert found["counting"].item() == pytest.approx(0, abs=1e-12)
    harmonic = sum(1 / n for n in range(1, T + 1)) / T
    assert found["local"].item() == pytest.approx(harmonic, rel=1e-12)
    recent = sum(min(3, n) / n for n in range(1, T + 1)) / T
    assert found["recent"].item() == pytest.approx(recent, rel=1e-12)


def test_attention_to_oneself_is_far_from_counting():
    own = pattern(torch.eye(T).expand(1, T, T))
    found = attention_measures(own, every(own))
    assert found["entropy"].item() == 0
    assert [found[n].item() for n in ("local", "recent")] == pytest.approx([1, 1], rel=1e-12)
    # ln(t + 1) from even attention, mean over t = 1 … 23.
    expected = sum(log(t + 1) for t in range(1, T)) / (T - 1)
    assert found["counting"].item() == pytest.approx(expected, rel=1e-12)


def test_no_attention_has_more_entropy_than_even():
    weights = torch.rand(5, T, T, generator=torch.Generator().manual_seed(0))
    own = pattern(weights, CAUSAL.expand(5, T, T))
    found = attention_measures(own, every(own))
    assert 0 < found["entropy"].item() < found["uniform_entropy"].item()
    assert found["counting"].item() > 0


def test_counting_looks_at_the_mean_row_and_entropy_at_each():
    # Half of the sequences look at position 0, half at position 1: even on average.
    weights = torch.zeros(2, 2, 2)
    weights[0, :, 0], weights[1, 0, 0], weights[1, 1, 1] = 1, 1, 1
    own = pattern(weights, torch.ones(2, 2, 2, dtype=torch.bool).tril())
    found = attention_measures(own, every(own))
    assert found["counting"].item() == pytest.approx(0, abs=1e-12)
    assert found["entropy"].item() == 0


def test_only_queries_that_count_are_seen():
    weights = torch.ones(1, T, T)
    weights[:, 10:] = torch.eye(T)[10:]
    own = pattern(weights)
    counted = every(own)
    counted[:, 10:] = False
    found = attention_measures(own, counted)
    assert found["entropy"].item() == pytest.approx(lgamma(11) / 10, rel=1e-12)
    assert found["counting"].item() == pytest.approx(0, abs=1e-12)
    none = attention_measures(own, torch.zeros_like(counted))
    assert all(value.isnan().all() for value in none.values())


def test_queries_and_keys_of_different_rows_have_no_own_position():
    seen = torch.ones(2, 5, 3, dtype=torch.bool)
    own = pattern(torch.ones(2, 5, 3), seen)
    found = attention_measures(own, every(own))
    assert found["local"].isnan()
    assert found["recent"].isnan()
    assert found["entropy"].item() == pytest.approx(log(3), rel=1e-12)
    assert found["counting"].item() == pytest.approx(0, abs=1e-12)


def test_which_queries_have_a_label():
    trained = torch.zeros(1, dtype=torch.bool)
    several = Rows(torch.zeros(1, 5).long(), torch.tensor([[1, 2, UNLABELLED]]), trained)
    causal = torch.ones(1, 3, 3, dtype=torch.bool).tril()
    own = pattern(torch.ones(1, 3, 3), causal)
    assert labelled_queries(own, several).tolist() == [[True, True, False]]
    masked = pattern(torch.ones(1, 2, 2), torch.tensor([[[True, False]]]).expand(1, 2, 2))
    assert labelled_queries(masked, several).tolist() == [[True, False]]
    single = Rows(torch.zeros(1, 3).long(), torch.tensor([1]), trained, read_out=0)
    assert labelled_queries(own, single).tolist() == [[True, False, False]]


def problem_of(task, model):
    spec = RunSpec(task=task, model=model, updates=(Adam(),), steps=1, batch_size=4, record_every=1)
    problem = Problem([spec, spec], EAGER)
    return problem, Snapshot(0, problem.layout, problem.initial_parameters())


@torch.no_grad()
def test_a_model_without_queries_attends_evenly_and_padding_changes_the_published_number():
    model = CausalDecoderSpec(width=16, layers=2, heads=2, mlp_width=16)
    problem, start = problem_of(DyckDepth(train=10, held_out=60), model)
    theta = start.parameters.clone()
    for name in ("weight", "bias"):
        start.layout.view(theta, f"blocks.0.attention.qkv.{name}").zero_()
    theta[1] = torch.nan
    window = Window((Snapshot(0, start.layout, theta),), problem)
    instrument = AttentionStructure(rows=30)
    names = instrument.labels(window)["attention"]
    assert names == ("blocks.0.attention", "blocks.1.attention")
    found = instrument.measure(window)
    assert found["entropy"].shape == (2, 2, 2)
    published = found["published_entropy"][0, 0]
    torch.testing.assert_close(published, torch.full((2,), lgamma(25) / 24).double())
    even = found["uniform_entropy"][0, 0].expand(2)
    torch.testing.assert_close(found["entropy"][0, 0], even)
    assert even[0] < published[0] - 0.1
    assert (found["entropy"][0, 1] < even).all()
    for name in ("entropy", "counting", "local", "recent", "published_entropy"):
        assert found[name][1].isnan().all(), name


def test_encoder_and_decoder_and_what_lies_between():
    spec = EncoderDecoderSpec(width=16, layers=1, heads=2, mlp_width=16, masks_memory=False)
    problem, start = problem_of(Scan(train=20, held_out=20), spec)
    window = Window((start,), problem)
    found = AttentionStructure(rows=8).measure(window)
    assert AttentionStructure().labels(window)["attention"] == (
        "encoder.0.attention", "decoder.0.attention", "decoder.0.cross_attention"
    )  # fmt: skip
    tokens, labels = (x[0] for x in problem.held_out(8))
    words = (tokens[:, :11] != 0).sum(1).double()
    # Every word of a command sees every word; the decoder sees all 11 places of the memory.
    encoder = (words * words.log()).sum() / words.sum()
    outputs = (labels != UNLABELLED).sum(1).double()
    decoder = sum(lgamma(n + 1) for n in outputs.tolist()) / outputs.sum()
    expected = torch.tensor([encoder, decoder, log(11)]).double()
    torch.testing.assert_close(found["uniform_entropy"][0], expected, rtol=1e-6, atol=0)
    assert found["local"][0, 2].isnan().all()
    assert found["entropy"][0].isfinite().all()


def test_errors():
    with pytest.raises(ValueError, match="expected rows >= 1, got 0"):
        AttentionStructure(rows=0)
    (start,) = snapshots(torch.ones(1, 12, 12))
    problem = LookupProblem(torch.ones(1, 2, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"one softmax .* got 0 .* use attention_of"):
        AttentionStructure().measure(Window((start,), problem))


def test_a_wave_over_keys_is_found_and_even_attention_has_none():
    seen = torch.ones(1, T, T, dtype=torch.bool)
    keys = torch.arange(T).double()
    wave = (1 + 0.5 * torch.cos(2 * torch.pi * 3 * keys / T)).expand(1, T, T)
    found = attention_measures(pattern(wave, seen), torch.ones(1, T, dtype=torch.bool))
    assert found["wave"].item() == 3
    # Everything beside even attention is this wave.
    assert found["wave_share"].item() == pytest.approx(1, rel=1e-9)
    even = attention_measures(pattern(torch.ones(1, T, T)), torch.ones(1, T, dtype=torch.bool))
    assert even["wave"].isnan()
    assert even["wave_share"].isnan()


def test_one_key_has_no_wave():
    one = torch.ones(1, 1, 1, dtype=torch.bool)
    found = attention_measures(pattern(torch.ones(1, 1, 1), one), torch.ones(1, 1).bool())
    assert found["wave"].isnan()
    assert found["entropy"].item() == 0
