"""Position and token read off representations that plainly hold them, or do not."""

import pytest
import torch
from lookup_problem import gaussian

from cases import EAGER
from spectraledge.instruments import InputProbe, Window
from spectraledge.instruments.input_probe import input_scores
from spectraledge.instruments.labelled_tokens import LabelledTokens
from spectraledge.models import EncoderDecoderSpec
from spectraledge.tasks import Scan
from spectraledge.training import Problem, RunSpec, Trainer
from spectraledge.updates import Adam

ROWS, LENGTH, TOKENS = 60, 8, 4


def labelled(features):
    """Tokens that repeat along a row, beside the given features."""
    row = torch.arange(ROWS).repeat_interleave(LENGTH)
    place = torch.arange(LENGTH).repeat(ROWS)
    none = torch.zeros(len(row), dtype=torch.bool)
    token = (row + place * place) % TOKENS
    return LabelledTokens(features(row, place, token).double(), token, token, row, place, none)


@pytest.mark.parametrize("protocol", ["published", "scale_free"])
def test_features_that_hold_the_input_give_it_back(protocol):
    def features(row, place, token):
        return torch.cat([torch.nn.functional.one_hot(token), place[:, None]], 1)

    found = input_scores(labelled(features), protocol)
    # A penalty of 1 among some 336 tokens takes a part in a hundred of a slope.
    assert found["position"] > 0.999
    assert found["token"] > 0.99
    assert found["token_accuracy"] == 1.0


def test_noise_says_nothing_and_size_matters_to_the_fixed_penalty_only():
    noise = input_scores(labelled(lambda row, place, token: gaussian(len(row), 3)), "scale_free")
    # Four features on some 240 tokens explain 1/60 by chance, on other tokens less.
    assert noise["position"] < 0.03
    assert noise["token"] < 0.03
    small = labelled(lambda row, place, token: 1e-4 * place[:, None])
    assert input_scores(small, "published")["position"] < 0.01
    assert input_scores(small, "scale_free")["position"] > 0.999


def test_it_reads_commands_off_an_encoder():
    spec = RunSpec(
        task=Scan(train=30, held_out=40, longest=4),
        model=EncoderDecoderSpec(width=16, layers=1, mlp_width=16, masks_memory=False),
        updates=(Adam(),),
        batch_size=10,
        steps=1,
        record_every=1,
    )
    problem = Problem([spec], EAGER)
    first = next(Trainer(problem).snapshots())
    instrument = InputProbe(padding=0)
    window = Window((first,), problem)
    assert instrument.labels(window)["module"] == ("encoder.0", "decoder.0")
    found = instrument.measure(window)
    # Embeddings of words and positions are in the residual stream from the start.
    assert found["token_accuracy"][0, 0] > 0.9
    assert found["position"][0, 0] > 0.9
    assert found["published_token"].shape == (1, 2)


def test_bad_fields():
    with pytest.raises(ValueError, match="rows >= 1, got 0"):
        InputProbe(rows=0)
