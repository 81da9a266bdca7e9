"""Change of a window's spectrum, from the updates themselves with numpy."""

import math

import numpy as np
import pytest
import torch

from spectraledge.linalg import eigenvalue_stability, gram_change, update_spectrum

WINDOW = 4


def updates(seed, runs=3, size=200):
    chance = torch.Generator().manual_seed(seed)
    scales = torch.linspace(1, 3, WINDOW + 1, dtype=torch.float64)[:, None]
    return scales * torch.randn(runs, WINDOW + 1, size, generator=chance, dtype=torch.float64)


def by_hand(X):
    """Adiabatic parameter and stability of two windows of one run, step by step."""
    first, second = X[:-1], X[1:]
    change = second @ second.T - first @ first.T
    sigma = np.linalg.svd(second, compute_uv=False)
    scores = [sigma[j] ** 2 / sigma[j + 1] for j in range(len(sigma) - 1)]
    k = int(np.argmax(scores))
    adiabatic = math.sqrt((change**2).sum()) / (sigma[k] - sigma[k + 1]) ** 2
    old = np.linalg.svd(first, compute_uv=False) ** 2
    moved = ((sigma**2 - old) ** 2).sum()
    stable = []
    for j, own in enumerate(sigma**2):
        gap = min(abs(own - other) for i, other in enumerate(sigma**2) if i != j)
        stable.append(max(0.0, 1 - moved / gap**2))
    return adiabatic, stable


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_both_by_their_definition(seed):
    X = updates(seed)
    gram = X @ X.mT
    change, stable = gram_change(gram, WINDOW), eigenvalue_stability(gram, WINDOW)
    for run, own in enumerate(X.numpy()):
        adiabatic, expected = by_hand(own)
        # Gaps are differences of numbers known to 1e-15, and of a tenth of their size.
        assert change[run].item() == pytest.approx(adiabatic, rel=1e-10)
        np.testing.assert_allclose(stable[run].numpy(), expected, rtol=0, atol=1e-10)


def test_windows_of_one_spectrum_are_stable_whatever_turns():
    # The update that enters is as long as the one that leaves, along a direction of its own.
    X = torch.eye(5).double() * torch.tensor([1.0, 2.0, 3.0, 4.0, 1.0])
    assert eigenvalue_stability(X @ X.T, 4).tolist() == pytest.approx([1.0] * 4)
    assert gram_change(X @ X.T, 4) > 0


def test_scale_does_not_matter():
    X = updates(5)
    for measure in (gram_change, eigenvalue_stability):
        torch.testing.assert_close(
            measure(X @ X.mT, WINDOW), measure(1e-6 * X @ X.mT, WINDOW), rtol=1e-9, atol=1e-9
        )


def test_runs_that_diverged_or_stand_still_are_nan_and_alone():
    X = updates(6)
    X[0, 2] = math.nan
    X[1] = 0
    gram = X @ X.mT
    change, stable = gram_change(gram, WINDOW), eigenvalue_stability(gram, WINDOW)
    assert change.isnan().tolist() == [True, True, False]
    assert stable.isnan().all(1).tolist() == [True, True, False]
    torch.testing.assert_close(change[2], gram_change(gram[2], WINDOW))


@pytest.mark.parametrize("window", [1, 3, 5])
def test_other_windows_are_refused(window):
    with pytest.raises(ValueError, match=f"window={window} and 5 updates"):
        gram_change(torch.eye(5).double(), window)
    with pytest.raises(ValueError, match=f"window={window} and 5 updates"):
        eigenvalue_stability(torch.eye(5).double(), window)


def test_rank_of_a_share_counts_directions():
    found = update_spectrum(torch.diag(torch.tensor([90.0, 5.0, 4.0, 1.0]).double()))
    ranks = {share: found.rank_of_share(share).item() for share in (0.5, 0.89, 0.91, 0.96, 1.0)}
    assert ranks == {0.5: 1, 0.89: 1, 0.91: 2, 0.96: 3, 1.0: 4}
    assert math.isnan(update_spectrum(torch.zeros(3, 3).double()).rank_of_share(0.95))
    with pytest.raises(ValueError, match=r"got 0\.0"):
        found.rank_of_share(0.0)
