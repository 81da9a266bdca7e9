"""Projection of brackets on small bases: the law, the bases, past against whole run."""

from dataclasses import replace
from itertools import combinations
from math import isnan, sqrt

import pytest
import torch
from quadratic import LAYOUT, RUNS, P, Quadratic, gaussian, run
from scipy import stats

from spectraledge.block_basis import BlockBasis, random_basis, singular_basis, trajectory_basis
from spectraledge.instruments import Observer, SubspaceProjection, Window, instrument_key
from spectraledge.instruments.pair_brackets import pair_brackets
from spectraledge.instruments.projection_shares import projection_shares, random_band
from spectraledge.instruments.subspace_projection import whole_run_projections
from spectraledge.linalg import random_subspaces as law
from spectraledge.snapshots import Layout

KINDS = ("query", "key")
INSTRUMENT = SubspaceProjection(components=2, sweep=(1, 2, 3), pairs=3, kinds=KINDS)
PROBLEM = Quadratic()
# The oracle and the instrument sum the same few dozen products in another order.
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def observed(instrument, snapshots) -> list[dict[str, torch.Tensor]]:
    observer = Observer([instrument], PROBLEM)
    return [observer.observe(s)[instrument_key(instrument)] for s in snapshots]


def brackets_by_hand(theta: torch.Tensor, step: int) -> torch.Tensor:
    batches = [PROBLEM.batch(step, f"commutator_defect/{index}") for index in range(3)]
    pairs = []
    for first, second in combinations(batches, 2):
        g_A, g_B = (PROBLEM.gradient(theta, *batch)[0] for batch in (first, second))
        H_A, H_B = (PROBLEM.hessian(batch[0]) for batch in (first, second))
        pairs.append(torch.einsum("rij,rj->ri", H_B, g_A) - torch.einsum("rij,rj->ri", H_A, g_B))
    return torch.stack(pairs, 1)


def test_brackets_of_a_quadratic_are_exact():
    snapshot = run(1)[0]
    brackets, gradient = pair_brackets("test", Window((snapshot,), PROBLEM), 3)
    torch.testing.assert_close(brackets, brackets_by_hand(snapshot.parameters, 0), **CLOSE)
    batches = [PROBLEM.batch(0, f"commutator_defect/{index}") for index in range(3)]
    mean = sum(PROBLEM.gradient(snapshot.parameters, *batch)[0] for batch in batches) / 3
    torch.testing.assert_close(gradient, mean, **CLOSE)


@pytest.mark.parametrize("basis", ["singular", "displacement", "trajectory", "gradient"])
def test_readings_agree_with_dense_bases(basis):
    """Every number again from the dense P × K matrix, one run at a time."""
    snapshots = run(6)
    reading = observed(replace(INSTRUMENT, basis=basis), snapshots)[-1]
    theta = snapshots[-1].parameters
    source = theta
    if basis == "gradient":
        source = pair_brackets("test", Window((snapshots[-1],), PROBLEM), 3)[1]
    if basis == "displacement":
        source = theta - snapshots[0].parameters
    made = singular_basis(source, LAYOUT, KINDS, 2)
    if basis == "trajectory":
        made = trajectory_basis([s.parameters for s in snapshots], LAYOUT, KINDS, 2)
    B = made.embed(torch.eye(4, dtype=torch.float64).expand(RUNS, -1, -1)).mT
    brackets = brackets_by_hand(theta, 50)
    for r in range(RUNS):
        shares = (brackets[r] @ B[r]).square().sum(1) / brackets[r].square().sum(1)
        inside = brackets[r][:, :21].square().sum(1)
        share_inside = (brackets[r] @ B[r]).square().sum(1) / inside
        matched = brackets[r][:, :12].square().sum(1) * 2 / 12
        matched = matched + brackets[r][:, 12:21].square().sum(1) * 2 / 9
        expected = {
            "rank": 4.0,
            "share": shares.mean(),
            "residual": (1 - shares).sqrt().mean(),
            "residual_random": sqrt(1 - 4 / P),
            "ratio": (shares.mean() / (4 / P)).sqrt(),
            "inside": (inside / brackets[r].square().sum(1)).mean().sqrt(),
            "ratio_inside": (share_inside.mean() / (4 / 21)).sqrt(),
            "ratio_matched": ((brackets[r] @ B[r]).square().sum(1) / matched).mean().sqrt(),
        }
        for name, value in expected.items():
            assert reading[name][r].item() == pytest.approx(float(value), rel=1e-9), name
        assert reading["sweep_share"][r, 1] == reading["share"][r]
        assert reading["sweep_rank"][r].tolist() == [2.0, 4.0, 6.0]


def test_random_vectors_have_ratio_one_and_lie_in_the_band():
    """Independent vectors and the true law: coverage is binomial."""
    basis = random_basis(LAYOUT, None, 4, seeds=range(3000))
    shares = projection_shares(gaussian(3000, 1, P), basis)
    found = shares.statistics(4)
    lower, upper = random_band(shares.ranks(4), P, 0.9).unbind(1)
    inside = int(((found["ratio"] > lower) & (found["ratio"] < upper)).sum())
    # Fails for one seed in a million if the band is right.
    assert stats.binomtest(inside, 3000, 0.9).pvalue > 1e-6
    mean = found["ratio_published"].mean().item()
    spread = found["ratio_published"].std().item() / sqrt(3000)
    assert abs(mean - 1) < spread * stats.norm.isf(5e-7)


def test_vectors_in_the_span_and_orthogonal_to_it():
    basis = singular_basis(gaussian(RUNS, P), LAYOUT, KINDS, 2)
    inside = basis.embed(gaussian(RUNS, 5, 4, seed=1))
    found = projection_shares(inside, basis).statistics(2)
    torch.testing.assert_close(
        found["ratio"], torch.full((RUNS,), sqrt(P / 4), dtype=torch.float64), **CLOSE
    )
    # The root of a rounding error of the share.
    assert float(found["residual"].max()) < 1e-7
    vectors = gaussian(RUNS, 5, P, seed=2)
    outside = projection_shares(vectors - basis.parallel(vectors), basis).statistics(2)
    assert float(outside["ratio"].max()) < 1e-12
    assert float(outside["residual"].min()) == 1.0


def test_the_residual_says_nothing_at_a_published_size():
    """Even a subspace that holds four times its random share has a residual of 0.9999."""
    layout = Layout(("w",), ((20_000,),))
    basis = random_basis(layout, None, 4, seeds=(0,))
    vector = gaussian(1, 1, 20_000)
    inside = basis.parallel(vector)
    wanted = 16 * 4 / 20_000
    scale = (wanted / (1 - wanted)) ** 0.5 * (vector - inside).norm() / inside.norm()
    found = projection_shares(vector - inside + scale * inside, basis).statistics(4)
    assert found["ratio"].item() == pytest.approx(4, rel=1e-9)
    assert found["residual"].item() > 0.998


def test_a_zero_bracket_is_left_out_and_all_zero_is_nan():
    basis = singular_basis(gaussian(RUNS, P), LAYOUT, KINDS, 2)
    vectors = gaussian(RUNS, 3, P)
    vectors[0, 1] = 0
    vectors[1] = 0
    found = projection_shares(vectors, basis).statistics(2)
    kept = projection_shares(vectors[:, [0, 2]], basis).statistics(2)
    assert found["share"][0] == kept["share"][0]
    assert isnan(found["share"][1].item())


def test_without_directions_nothing_is_measured_but_their_number():
    basis = singular_basis(gaussian(RUNS, P), LAYOUT, KINDS, 2)
    # The first run has no direction, as at the first snapshot of a trajectory.
    held = torch.tensor([0.0, 1.0], dtype=torch.float64)[:, None, None]
    blocks = tuple(replace(b, vectors=b.vectors * held) for b in basis.blocks)
    vectors = gaussian(RUNS, 3, P)
    found = projection_shares(vectors, BlockBasis(P, blocks)).statistics(2)
    whole = projection_shares(vectors, basis).statistics(2)
    assert found.pop("rank").tolist() == [0.0, 4.0]
    for name, values in found.items():
        assert isnan(values[0].item()), name
        assert values[1] == whole[name][1], name


@pytest.mark.parametrize("count", [5, 6])
def test_the_published_ratio_is_that_of_medians_of_norms(count):
    """Of an even number of vectors, the root of a median of squares is another number."""
    basis = singular_basis(gaussian(RUNS, P), LAYOUT, KINDS, 2)
    vectors = gaussian(RUNS, count, P, seed=3)
    found = projection_shares(vectors, basis).statistics(2)["ratio_published"]
    inside = basis.coefficients(vectors).norm(dim=-1).quantile(0.5, -1)
    whole = vectors.norm(dim=-1).quantile(0.5, -1)
    torch.testing.assert_close(found, inside / whole / law.expected_norm_share(4, P), **CLOSE)


def test_the_live_trajectory_knows_only_the_past():
    instrument = replace(INSTRUMENT, basis="trajectory")
    snapshots = run(7)
    other = [*snapshots[:5], *run(7, seed=1)[5:]]
    for first, second in list(zip(observed(instrument, snapshots), observed(instrument, other)))[
        :5
    ]:
        assert all(torch.equal(first[n].nan_to_num(), second[n].nan_to_num()) for n in first)


def test_the_whole_run_uses_the_future():
    instrument = replace(INSTRUMENT, basis="trajectory")
    snapshots = run(7)
    live, whole = observed(instrument, snapshots), whole_run_projections(
        instrument, snapshots, PROBLEM
    )  # fmt: skip
    assert [set(reading) for reading in whole] == [set(instrument.outputs)] * 7
    torch.testing.assert_close(whole[-1]["ratio"], live[-1]["ratio"], **CLOSE)
    assert (whole[3]["ratio"] - live[3]["ratio"]).abs().min() > 1e-3
    assert live[0]["ratio"].isnan().all()
    assert whole[0]["ratio"].isfinite().all()
    with pytest.raises(ValueError, match=r'expected SubspaceProjection\(basis="trajectory"\)'):
        whole_run_projections(INSTRUMENT, snapshots, PROBLEM)


def test_a_short_trajectory_counts_the_directions_it_has():
    reading = observed(replace(INSTRUMENT, basis="trajectory"), run(2))[-1]
    assert reading["rank"].tolist() == [2.0] * RUNS
    assert reading["ratio"].isfinite().all()
    assert reading["ratio_upper"][0].item() == pytest.approx(
        sqrt(law.share_quantile(0.975, 2, P) / (2 / P))
    )


def test_history_is_asked_for_only_where_it_is_used():
    assert INSTRUMENT.history == 1
    assert replace(INSTRUMENT, basis="trajectory").history is None
    assert replace(INSTRUMENT, basis="displacement").history is None


def test_before_the_first_step_there_is_no_displacement():
    first, second = observed(replace(INSTRUMENT, basis="displacement"), run(2))
    assert first["rank"].tolist() == [0.0] * RUNS
    assert all(first[n].isnan().all() for n in ("share", "residual", "ratio", "sweep_share"))
    assert second["rank"].tolist() == [4.0] * RUNS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"basis": "singulr"}, "did you mean 'singular'"),
        ({"kinds": ("querry",)}, "did you mean 'query'"),
        ({"components": 0}, "components >= 1"),
        ({"sweep": (1, 1)}, "distinct"),
        ({"sweep": ()}, "at least one sweep entry"),
        ({"pairs": 0}, "pairs >= 1"),
        ({"confidence": 1.0}, r"confidence in \(0, 1\)"),
    ],
)
def test_errors(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(INSTRUMENT, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"components": 2.5}, r"expected components as int, got 2\.5"),
        ({"sweep": (1, 2.5)}, r"expected sweep as tuple\[int, ...\], got \(1, 2\.5\)"),
        ({"sweep": 3}, r"expected sweep as tuple\[int, ...\], got 3"),
    ],
)
def test_numbers_of_another_type_are_refused(changes, message):
    """Past the type checks that only the tests have."""
    made = object.__new__(SubspaceProjection)
    for name, value in {**vars(INSTRUMENT), **changes}.items():
        object.__setattr__(made, name, value)
    with pytest.raises(TypeError, match=message):
        made.__post_init__()


def test_it_needs_the_problem():
    with pytest.raises(ValueError, match="evaluates the model"):
        INSTRUMENT.measure(Window(tuple(run(1))))
