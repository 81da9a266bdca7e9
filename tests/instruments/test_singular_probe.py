"""Singular directions as probes of planted representations, and overlaps in closed form."""

import math

import pytest
import torch
from lookup_problem import LookupProblem, depths, gaussian, snapshots

from spectraledge.instruments import SingularProbe, Window
from spectraledge.instruments.singular_probe import input_directions, separation, span_overlap

TOKENS = depths(80, 20)[None].repeat(2, 1, 1)
PROBE = SingularProbe(kinds=("query",), rows=80)


def orthogonal(rows, columns, seed):
    return torch.linalg.qr(gaussian(rows, columns, seed=seed)).Q


def planted(leading):
    """A query matrix 12×12 that reads `leading` first: columns are also what tokens look like."""
    left, right = orthogonal(12, 12, seed=1), orthogonal(12, 12, seed=2)
    right[:, 0] = leading / leading.norm()
    right = torch.linalg.qr(right).Q
    right[:, 0] = leading / leading.norm()
    return (left * torch.logspace(1, -1, 12).double()) @ right.T


def test_directions_are_those_that_the_matrix_reads_most():
    matrix = gaussian(7, 9)
    found = input_directions(matrix, 3)
    torch.testing.assert_close(found @ found.T, torch.eye(3).double())
    gains = (matrix @ found.T).norm(dim=0)
    # By definition no direction is lengthened more than the first.
    assert gains[0] > gains[1] > gains[2]
    assert (matrix @ gaussian(9, 500)).norm(dim=0).div(gaussian(9, 500).norm(dim=0)).max() < gains[
        0
    ]
    assert len(input_directions(gaussian(2, 9), 5)) == 2
    matrix[0, 0] = torch.nan
    assert input_directions(matrix, 3).isnan().all()


def test_overlap_of_spans_in_closed_form():
    basis = orthogonal(10, 10, seed=0).T
    turned = orthogonal(3, 3, seed=4).T @ basis[:3]
    assert span_overlap(basis[:3], turned) == pytest.approx(1, abs=1e-12)
    assert span_overlap(basis[:3], basis[3:6]) == pytest.approx(0, abs=1e-12)
    angle = 0.3
    tilted = math.cos(angle) * basis[:1] + math.sin(angle) * basis[5:6]
    assert span_overlap(basis[:1], tilted) == pytest.approx(math.cos(angle) ** 2, abs=1e-12)
    by_chance = [
        span_overlap(basis[:3], torch.linalg.qr(gaussian(10, 3, seed=s)).Q.T) for s in range(400)
    ]
    # Mean K/I = 0.3; single values deviate by 0.1, 400 of them by a twentieth.
    assert sum(by_chance) / 400 == pytest.approx(0.3, abs=0.02)


def test_separation_is_in_pooled_deviations():
    values = torch.tensor([0.0, 2.0, 5.0, 7.0]).double()
    second = torch.tensor([False, False, True, True])
    assert separation(values, second) == pytest.approx(5.0)
    assert separation(-3 * values, second) == pytest.approx(5.0)
    assert math.isnan(separation(values, torch.zeros(4, dtype=torch.bool)))


def test_a_direction_that_holds_the_label_reads_it():
    # h of token t is column t of W; along u it is t if u W = (0, 1, 2, ...).
    count = torch.arange(12).double()
    u = gaussian(12, seed=3)
    u /= u.norm()
    noise = gaussian(12, 12, seed=4)
    matrix = 5 * torch.outer(u, count) + noise - torch.outer(u, u @ noise)
    # Symmetric in the leading direction: reads u and writes the count.
    found = PROBE.measure(Window((snapshots(torch.stack([matrix, planted(u)]))[0],),
                                 LookupProblem(TOKENS)))  # fmt: skip
    v = input_directions(matrix, 5)
    h = matrix.T[TOKENS[0].flatten()]
    labels = TOKENS[0].flatten().double()
    correlation = torch.corrcoef(torch.stack([h @ v[0], labels]))[0, 1]
    # One feature: the R² of a line on unseen rows, of 1600 tokens, within a few per cent.
    assert found["score"][0, 0, 0].item() == pytest.approx(correlation.item() ** 2, abs=0.05)
    # Five directions of twelve read no less than the first of them.
    assert found["score"][0, 0, 2] > found["score"][0, 0, 0] - 0.02
    assert found["random_score"].isfinite().all()


def test_common_directions_of_the_next_kind():
    both = SingularProbe(rows=80)
    with pytest.raises(ValueError, match="no weight matrix of kind"):
        SingularProbe(kinds=("key",), rows=80).labels(Window((snapshots(gaussian(2, 12, 12))[0],)))
    found = both.measure(Window((snapshots(gaussian(2, 12, 12))[0],), LookupProblem(TOKENS)))
    # There is no key matrix beside the query matrix here.
    assert found["alignment"].isnan().all()
    assert found["span_overlap"].isnan().all()
    assert found["chance_overlap"].eq(5 / 12).all()


def test_a_broken_run_is_nan_and_leaves_the_other_alone():
    whole = gaussian(2, 12, 12)
    broken = whole.clone()
    broken[1] = torch.nan
    problem = LookupProblem(TOKENS)
    good, bad = (PROBE.measure(Window((snapshots(m)[0],), problem)) for m in (whole, broken))
    for name in ("score", "published_score", "separation", "largest_frequency"):
        assert bad[name][1].isnan().all(), name
        assert torch.equal(bad[name][0], good[name][0]), name


def test_errors():
    with pytest.raises(ValueError, match="place for SingularProbe"):
        SingularProbe(place="middle")
    with pytest.raises(ValueError, match="rows >= 1, seeds >= 1 and a kind of matrix, got 0, 3"):
        SingularProbe(rows=0)
