"""Fourier structure of planted embeddings and of models of several makes."""

from math import pi

import numpy as np
import pytest
import torch
from torch import nn

from spectraledge.instruments import FourierStructure, Observer, Probe, Window
from spectraledge.instruments.fourier_structure import fourier_measures
from spectraledge.linalg import (
    discrete_logarithm_order,
    query_key_token_circuit,
    value_output_token_circuit,
)
from spectraledge.models import PreNormEncoderSpec
from spectraledge.snapshots import Layout, Snapshot, flatten_parameters

P, WIDTH = 43, 64
WAVES = (3, 8, 14)


def gaussian(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def circles(tokens, frequencies, weights, seed=0):
    """Tokens on one circle a frequency, of these shares, in random orthogonal planes."""
    angle = 2 * pi * torch.outer(torch.arange(tokens).double(), torch.tensor(frequencies).double())
    columns = torch.cat([(angle / tokens).cos(), (angle / tokens).sin()], 1)
    planes = torch.linalg.qr(gaussian(WIDTH, 2 * len(frequencies), seed=seed))[0]
    return columns * torch.tensor(weights, dtype=torch.float64).sqrt().repeat(2) @ planes.mT


def encoder(modulus=P, **sizes):
    spec = PreNormEncoderSpec(width=WIDTH, mlp_width=16, layers=1, **sizes)
    return spec.build(vocabulary=modulus, length=2, classes=modulus, seed=0)


def measured(model, instrument):
    snapshot = Snapshot(0, Layout.of(model), flatten_parameters(model)[None])
    (reading,) = Observer([instrument]).observe(snapshot).values()
    names = instrument.labels(Window((snapshot,)))["token_axis"]
    return {name: dict(zip(names, array[0].tolist())) for name, array in reading.items()}


def test_three_planted_frequencies_are_found():
    found = fourier_measures(7 + circles(P, WAVES, (0.5, 0.3, 0.2)))
    assert found["frequencies"].item() == 2  # 0.5 and 0.3 are the 80 %
    assert found["largest_frequency"].item() == 3
    # Orthogonal modes, so shares are as planted up to rounding of float64.
    assert found["largest_share"].item() == pytest.approx(0.5, abs=1e-12)
    entropy = -sum(q * np.log(q) for q in (0.5, 0.3, 0.2))
    assert found["effective_frequencies"].item() == pytest.approx(np.exp(entropy), abs=1e-11)
    # Every entry is 7 and a circle of radius 1 in all: 64 · 49 against 1.
    assert found["constant_share"].item() == pytest.approx(3136 / 3137, abs=1e-12)


def test_the_mean_over_tokens_changes_nothing_else():
    plain, shifted = (fourier_measures(gaussian(P, 5) + offset) for offset in (0.0, 100.0))
    for name in set(plain) - {"constant_share"}:
        # An offset of 100 costs 4 digits of squares in float64.
        torch.testing.assert_close(shifted[name], plain[name], rtol=1e-9, atol=0)


def test_a_random_embedding_is_what_is_expected_of_one():
    found = fourier_measures(gaussian(50, P, WIDTH))
    for null in ("isotropic", "rotated"):
        number, expected = found["frequencies"], found[f"{null}_frequencies"]
        # 0.4 that the law leaves out, and four standard errors of a number that scatters by 0.5.
        assert number.mean().item() == pytest.approx(expected.mean().item(), abs=0.4 + 0.3)
        effective, law = (
            found[n] for n in ("effective_frequencies", f"{null}_effective_frequencies")
        )
        # It scatters by 0.05 of 21, and the rotated law follows each matrix to 0.1.
        torch.testing.assert_close(effective, law, rtol=0, atol=0.3)


def test_few_directions_are_sparse_by_chance_and_the_rotated_law_says_so():
    found = fourier_measures(gaussian(50, P, 1) * gaussian(50, 1, WIDTH, seed=1))
    number = found["frequencies"].mean().item()
    # 10 against 16.5.
    assert number < 0.7 * found["isotropic_frequencies"][0].item()
    # One column has a number of 10 that scatters by 1.2: four standard errors, and the law's 0.4.
    expected = found["rotated_frequencies"][0].item()
    assert number == pytest.approx(expected, abs=0.4 + 4 * 1.2 / 50**0.5)


def test_multiplication_is_sparse_in_its_own_order_only():
    model = encoder()
    order = discrete_logarithm_order(P)
    with torch.no_grad():
        model.token_embedding.weight[order] = circles(P - 1, WAVES, (1, 1, 1)).float()
    own = measured(model, FourierStructure(order="discrete_logarithm"))
    natural = measured(model, FourierStructure())
    assert own["frequencies"]["embedding"] == 3
    # Powers of a generator scatter waves over all 21 frequencies; half is far from 3 either way.
    assert natural["frequencies"]["embedding"] > 10
    assert own["isotropic_frequencies"]["embedding"] == pytest.approx(
        fourier_measures(gaussian(P - 1, WIDTH))["isotropic_frequencies"].item()
    )


def test_circuits_of_a_model_are_those_of_its_weights():
    model = encoder()
    attention, W_E = model.blocks[0].attention, model.token_embedding.weight.detach()
    W_Q, W_K, W_V = attention.qkv.weight.detach().chunk(3)
    scores = query_key_token_circuit(W_E, W_Q, W_K)
    written = value_output_token_circuit(W_E, W_V, attention.output.weight.detach())
    found = measured(model, FourierStructure())
    for name, weight in {
        "embedding": W_E.double(),
        "layer0.attention.query_key.query_tokens": scores,
        "layer0.attention.query_key.key_tokens": scores.mT,
        "layer0.attention.value_output": written,
    }.items():
        for output, value in fourier_measures(weight).items():
            # The same float64 products of other strides.
            assert found[output][name] == pytest.approx(value.item(), rel=1e-9), (name, output)
    assert len(found["frequencies"]) == 4


def test_circuits_inherit_the_frequencies_of_the_embedding():
    model = encoder()
    with torch.no_grad():
        model.token_embedding.weight.copy_(circles(P, WAVES, (1, 1, 1)))
    found = measured(model, FourierStructure())
    # float32 weights leave 1e-14 of the energy elsewhere, none of the 80 %.
    assert max(found["frequencies"].values()) <= 3
    # Random projections make unequal what was equal, but add no frequency.
    assert all(value < 3 + 1e-6 for value in found["effective_frequencies"].values())


def test_rows_beyond_the_numbers_are_left_out():
    model = encoder(P + 1)
    with torch.no_grad():
        model.token_embedding.weight[:P] = circles(P, (5,), (1,))
        model.token_embedding.weight[P] = 100
    assert measured(model, FourierStructure(modulus=P))["frequencies"]["embedding"] == 1
    assert measured(model, FourierStructure())["frequencies"]["embedding"] > 10


def test_a_share_of_all_wants_more_frequencies():
    weight = circles(P, WAVES, (0.5, 0.3, 0.2))
    assert [fourier_measures(weight, s)["frequencies"].item() for s in (0.4, 0.9)] == [1, 3]


def test_no_structure_is_nan():
    for weight in (torch.zeros(7, 3), torch.full((7, 3), 0.1), torch.full((7, 3), torch.nan)):
        found = fourier_measures(weight)
        for name in ("frequencies", "effective_frequencies", "largest_share", "largest_frequency",
                     "rotated_frequencies"):  # fmt: skip
            assert found[name].isnan(), name


def test_a_probe_measures_any_module_with_an_embedding():
    class Foreign(nn.Module):
        def __init__(self):
            super().__init__()
            self.tok = nn.Parameter(circles(P, WAVES, (1, 1, 1)).float())
            self.layer = nn.TransformerEncoderLayer(WIDTH, 4, 16)

    probe = Probe(Foreign(), [FourierStructure(embedding="tok")], every=1)
    probe.step(0)
    (key,) = probe.readings
    assert probe.readings[key]["frequencies"].shape == (1, 4)
    assert probe.labels[key]["token_axis"][1:] == (
        "attention.query_key.query_tokens",
        "attention.query_key.key_tokens",
        "attention.value_output",
    )
    with pytest.raises(ValueError, match=r"got none for embedding=None; name one of .*'tok'"):
        Probe(Foreign(), [FourierStructure()], every=1).step(0)


def test_layers_that_do_not_fit_together_have_no_circuit():
    grouped = Layout(
        ("embed.weight", "blocks.0.attn.q.weight", "blocks.0.attn.k.weight"),
        ((P, 8), (8, 8), (4, 8)),
    )
    window = Window((Snapshot(0, grouped, torch.zeros(1, grouped.size)),))
    assert FourierStructure().labels(window)["token_axis"] == ("embedding",)


def test_errors():
    with pytest.raises(ValueError, match="known: natural, discrete_logarithm"):
        FourierStructure(order="logarithm")
    with pytest.raises(ValueError, match=r"share in \(0, 1\), got 1.0"):
        FourierStructure(share=1.0)
    with pytest.raises(ValueError, match="at least 3 tokens, got 2"):
        FourierStructure(modulus=2)
    with pytest.raises(ValueError, match="prime modulus, got 9"):
        FourierStructure(modulus=9, order="discrete_logarithm")
    with pytest.raises(ValueError, match=r"at least 97 tokens, got 43 in .*known parameters"):
        measured(encoder(), FourierStructure(modulus=97))
    two = Layout(("a.embed.weight", "b.embed.weight"), ((5, 2), (5, 2)))
    window = Window((Snapshot(0, two, torch.zeros(1, two.size)),))
    with pytest.raises(ValueError, match=r"got a\.embed and b\.embed"):
        FourierStructure().labels(window)
