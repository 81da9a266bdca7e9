"""Probes against scikit-learn, and the law that tells the two protocols apart."""

import warnings
from math import isnan

import pytest
import torch
from lookup_problem import gaussian
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPRegressor

from spectraledge.instruments import probe_scores
from spectraledge.instruments.probe_fits import (
    READERS,
    sequence_split,
    targets_of,
    token_split,
)
from spectraledge.linalg.ridge import product_features

N, D = 600, 8
ROWS = torch.arange(N) // 6
ALPHA = {"linear": 1.0, "quadratic": 10.0}


def depth_like(seed=0):
    """Features, and whole numbers that follow from them up to rounding."""
    x = gaussian(N, D, seed=seed)
    return x, (2 * x[:, :1] - x[:, 1:2]).round()


@pytest.mark.parametrize("reader", ["linear", "quadratic"])
def test_the_published_ridge_is_that_of_scikit_learn(reader):
    x, y = depth_like()
    split = token_split(N, seed=3)
    wide = product_features(x) if reader == "quadratic" else x
    model = Ridge(alpha=ALPHA[reader]).fit(wide[split.fit].numpy(), y[split.fit].numpy())
    expected = model.score(wide[split.test].numpy(), y[split.test].numpy())
    (found,) = probe_scores(x, [y], reader, protocol="published", seed=3)
    assert found.r_squared == pytest.approx(expected, abs=1e-10)


def test_the_published_network_is_that_of_scikit_learn():
    x, y = depth_like()
    split = token_split(N, seed=0)
    model = MLPRegressor(
        hidden_layer_sizes=(64,), activation="relu", solver="adam", learning_rate_init=1e-3,
        alpha=0.01, max_iter=500, early_stopping=True, validation_fraction=0.15, tol=1e-4,
        n_iter_no_change=10, random_state=42,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x[split.fit].numpy(), y[split.fit, 0].numpy())
    expected = model.score(x[split.test].numpy(), y[split.test, 0].numpy())
    (found,) = probe_scores(x, [y], "mlp", protocol="published")
    assert found.r_squared == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("factor", [1e-3, 1e-2, 1e2, 1e3])
def test_only_the_scale_free_score_does_not_know_the_scale(reader, factor):
    x, y = depth_like()
    free = [probe_scores(c * x, [y], reader, sequence=ROWS)[0] for c in (1.0, factor)]
    # Rounding of the standardised features; an optimizer of many steps amplifies it.
    assert free[1].r_squared == pytest.approx(free[0].r_squared, abs=1e-8)
    assert free[1].accuracy == free[0].accuracy
    if factor == 1e-3 and reader != "mlp":
        fixed = [probe_scores(c * x, [y], reader, protocol="published")[0] for c in (1.0, factor)]
        assert fixed[0].r_squared > 0.9
        assert fixed[1].r_squared < 0.1


def test_a_product_is_read_by_products_only():
    x = gaussian(N, D)
    y = x[:, :1] * x[:, 1:2]
    linear, quadratic = (
        probe_scores(x, [y], r, sequence=ROWS)[0].r_squared for r in ("linear", "quadratic")
    )
    assert linear < 0.1
    # 300 points choose 36 coefficients without noise; the smallest penalty leaves 1e-6.
    assert quadratic > 0.999


def test_what_rows_share_is_no_knowledge_about_new_rows():
    # A row's own number, and features that name the row: the published split reads it off.
    names = gaussian(N // 6, 64).repeat_interleave(6, 0)
    y = gaussian(N // 6, 1, seed=1).repeat_interleave(6, 0)
    x = names + 0.01 * gaussian(N, 64, seed=2)
    (fixed,) = probe_scores(x, [y], "linear", protocol="published")
    (free,) = probe_scores(x, [y], "linear", sequence=ROWS)
    assert fixed.r_squared > 0.4
    assert free.r_squared < 0.1


def test_shuffled_labels_are_not_read():
    x, y = depth_like()
    shuffled = y[torch.randperm(N, generator=torch.Generator().manual_seed(1))]
    for reader in READERS:
        own, null = probe_scores(x, [y, shuffled], reader, sequence=ROWS)
        assert own.r_squared > 0.9, reader
        assert null.r_squared < 0.1, reader


def test_several_targets_do_not_change_one_another():
    x, y = depth_like()
    together = probe_scores(x, [y, -3 * y + 1, y[torch.randperm(N)]], "linear", sequence=ROWS)
    (alone,) = probe_scores(x, [y], "linear", sequence=ROWS)
    assert together[0].r_squared == pytest.approx(alone.r_squared, abs=1e-12)
    assert together[1].r_squared == pytest.approx(alone.r_squared, abs=1e-12)


def test_names_are_read_as_columns_and_numbers_as_one():
    labels = torch.tensor([7, 2, 7, 4])
    assert targets_of(labels, categorical=True).tolist() == [
        [0, 0, 1], [1, 0, 0], [0, 0, 1], [0, 1, 0]
    ]  # fmt: skip
    assert targets_of(labels, categorical=False).tolist() == [[7], [2], [7], [4]]
    # Three groups of points in no order that a line could follow.
    group = torch.arange(N) % 3
    x = 5 * torch.nn.functional.one_hot(group, D).double() + 0.1 * gaussian(N, D)
    number, name = (
        probe_scores(x[:, 1:2], [targets_of(group, c)], "linear", sequence=ROWS)[0]
        for c in (False, True)
    )
    # One feature tells the middle group apart, which a line over 0, 1, 2 cannot say.
    assert number.r_squared < 0.1
    assert name.r_squared > 0.4
    (whole,) = probe_scores(x, [targets_of(group, True)], "linear", sequence=ROWS)
    assert whole.accuracy == 1
    assert whole.r_squared > 0.99


def test_splits_keep_rows_together_and_use_every_token_once():
    split = sequence_split(ROWS, seed=5)
    parts = [set(ROWS[part].tolist()) for part in (split.fit, split.choose, split.test)]
    assert [len(part) for part in parts] == [50, 20, 30]
    assert len(set.union(*parts)) == 100
    assert len(torch.cat([split.fit, split.choose, split.test]).unique()) == N
    tokens = token_split(10, seed=0)
    assert [len(tokens.fit), len(tokens.choose), len(tokens.test)] == [7, 0, 3]
    assert sequence_split(ROWS, seed=5).fit.equal(split.fit)
    assert not sequence_split(ROWS, seed=6).fit.equal(split.fit)


def test_nothing_to_fit_is_nan():
    x, y = depth_like()
    for features, sequence in ((x * torch.nan, ROWS), (x, torch.zeros_like(ROWS))):
        (found,) = probe_scores(features, [y], "linear", sequence=sequence)
        assert isnan(found.r_squared)
        assert isnan(found.accuracy)
    (few,) = probe_scores(x[:2], [y[:2]], "linear", sequence=ROWS[:2])
    assert isnan(few.r_squared)
    (same,) = probe_scores(x, [torch.ones(N, 1).double()], "linear", sequence=ROWS)
    assert isnan(same.r_squared)


def test_errors():
    x, y = depth_like()
    with pytest.raises(ValueError, match="unknown reader 'cubic'; known: linear, quadratic, mlp"):
        probe_scores(x, [y], "cubic", sequence=ROWS)
    with pytest.raises(ValueError, match="unknown protocol 'paper'; known: scale_free, published"):
        probe_scores(x, [y], "linear", protocol="paper")
    with pytest.raises(ValueError, match="pass sequence=, the row of each token"):
        probe_scores(x, [y], "linear")
