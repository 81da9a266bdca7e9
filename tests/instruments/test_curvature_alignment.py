"""Alignment of the trajectory with brackets, with and without what weight decay did."""

from dataclasses import replace
from math import pi, sqrt

import pytest
import torch
from quadratic import LAYOUT, RUNS, P, Quadratic, gaussian, run
from scipy import stats

from spectraledge.instruments import CurvatureAlignment, Observer, Window, instrument_key
from spectraledge.instruments.curvature_alignment import VARIANTS, alignment
from spectraledge.instruments.pair_brackets import pair_brackets
from spectraledge.linalg import random_subspaces as law
from spectraledge.snapshots import Snapshot

INSTRUMENT = CurvatureAlignment(pairs=3, kinds=("query", "key"))
ATTENTION = slice(0, 21)
PROBLEM = Quadratic()
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def moved_by(parts: dict[str, torch.Tensor], extra: torch.Tensor | None = None) -> list[Snapshot]:
    """Two snapshots whose displacement is the sum of the parts and of what nobody recorded."""
    start = run(1)[0]
    total = sum(parts.values(), torch.zeros(RUNS, P)) + (0 if extra is None else extra)
    end = replace(start, step=10, parameters=start.parameters + total, parts=parts)
    return [start, end]


def observed(snapshots: list[Snapshot], instrument=INSTRUMENT) -> dict[str, torch.Tensor]:
    observer = Observer([instrument], PROBLEM)
    return [observer.observe(s)[instrument_key(instrument)] for s in snapshots][-1]


def by_hand(delta: torch.Tensor, vectors: torch.Tensor) -> dict[str, float]:
    """One run, with QR instead of the Gram matrix."""
    cosines = (vectors @ delta / (vectors.norm(dim=1) * delta.norm())).abs()
    Q = torch.linalg.qr(vectors.T)[0]
    share = float((Q.T @ delta).norm() / delta.norm())
    random = sqrt(len(vectors) / len(delta))
    return {
        "displacement": float(delta.norm()),
        "mean_cosine": float(cosines.mean()),
        "max_cosine": float(cosines.max()),
        "subspace_share": share,
        "rank": float(len(vectors)),
        "subspace_ratio": share / random,
        "subspace_ratio_published": share / random**2,
        "cosine_ratio": float(cosines.mean()) / law.expected_cosine(len(delta)),
    }


def test_every_variant_agrees_with_qr_on_its_own_displacement():
    parts = {"gradient": gaussian(RUNS, P, seed=1), "weight_decay": 5 * gaussian(RUNS, P, seed=2)}
    snapshots = moved_by(parts)
    found = observed(snapshots)
    brackets, _ = pair_brackets("test", Window(tuple(snapshots), PROBLEM), 3)
    whole, learned = sum(parts.values()), parts["gradient"]
    for r in range(RUNS):
        expected = {
            "all": by_hand(whole[r], brackets[r]),
            "without_decay": by_hand(learned[r], brackets[r]),
            "attention": by_hand(whole[r, ATTENTION], brackets[r][:, ATTENTION]),
            "attention_without_decay": by_hand(learned[r, ATTENTION], brackets[r][:, ATTENTION]),
        }
        for place, variant in enumerate(VARIANTS):
            for name, value in expected[variant].items():
                # Positions are subtracted again: rounding of numbers ten times the step.
                assert found[name][r, place].item() == pytest.approx(value, rel=1e-9), (
                    variant,
                    name,
                )


def test_pure_decay_leaves_nothing_to_align():
    start = run(1)[0]
    found = observed(moved_by({"weight_decay": -0.25 * start.parameters}))
    # θ − θ/4 rounds: what is left of the displacement is eps times θ at most.
    assert float(found["displacement"][:, 1].max()) < 1e-14 * float(found["displacement"][0, 0])
    assert found["subspace_share"][:, 0].isfinite().all()


def test_without_recorded_parts_the_control_is_nan_and_without_decay_it_is_the_same():
    nothing = observed(moved_by({}, gaussian(RUNS, P)))
    assert nothing["mean_cosine"][:, [1, 3]].isnan().all()
    assert nothing["mean_cosine"][:, [0, 2]].isfinite().all()
    no_decay = observed(moved_by({"gradient": gaussian(RUNS, P)}))
    assert torch.equal(no_decay["mean_cosine"][:, 0], no_decay["mean_cosine"][:, 1])


def test_parts_recorded_for_attention_alone_still_give_that_variant():
    decay = gaussian(RUNS, P, seed=2)
    snapshots = moved_by({"weight_decay": decay})
    decay = decay.clone()
    decay[:, 21:] = torch.nan
    found = observed([snapshots[0], replace(snapshots[1], parts={"weight_decay": decay})])
    assert found["displacement"][:, 1].isnan().all()
    assert found["displacement"][:, 3].isfinite().all()


def test_the_first_snapshot_is_nan():
    found = observed(run(1))
    assert set(found) == set(INSTRUMENT.outputs)
    assert all(array.shape == (RUNS, 4) and array.isnan().all() for array in found.values())


def test_random_displacements_have_ratio_one():
    """Means over 4000 independent displacements, within what a millionth of seeds exceed."""
    runs, size, count = 4000, 60, 5
    found = alignment(gaussian(runs, size), gaussian(1, count, size, seed=1).expand(runs, -1, -1))
    limit = stats.norm.isf(5e-7) / sqrt(runs)
    cosine, share = found["mean_cosine"], found["subspace_share"].square()
    assert abs(float(cosine.mean()) - law.expected_cosine(size)) < limit * float(cosine.std())
    assert abs(float(share.mean()) - count / size) < limit * float(share.std())
    approximate = sqrt(2 / (pi * size))
    assert approximate == pytest.approx(law.expected_cosine(size), rel=1 / (3 * size))


def test_dependent_and_opposite_vectors_span_what_they_span():
    vectors = gaussian(1, 3, 20)
    doubled = torch.cat([vectors, -7 * vectors[:, :1], vectors[:, 1:2] + vectors[:, 2:]], 1)
    first, second = (alignment(gaussian(1, 20, seed=4), v) for v in (vectors, doubled))
    assert second["rank"].tolist() == [3.0]
    torch.testing.assert_close(first["subspace_share"], second["subspace_share"], **CLOSE)
    tiny = alignment(1e-25 * gaussian(1, 20, seed=4), 1e-20 * vectors)
    torch.testing.assert_close(first["subspace_share"], tiny["subspace_share"], **CLOSE)


def test_a_displacement_inside_the_span():
    vectors = gaussian(2, 4, 30)
    found = alignment(torch.einsum("rj,rjp->rp", gaussian(2, 4, seed=5), vectors), vectors)
    torch.testing.assert_close(found["subspace_share"], torch.ones(2).double(), **CLOSE)
    one = alignment(vectors[:, 0], vectors)["max_cosine"]
    torch.testing.assert_close(one, torch.ones(2).double(), **CLOSE)


def test_a_broken_run_is_nan_and_alone():
    delta, vectors = gaussian(2, 30), gaussian(2, 4, 30, seed=1)
    healthy = alignment(delta, vectors)
    delta[0] = torch.nan
    broken = alignment(delta, vectors)
    assert all(broken[name][0].isnan() for name in broken)
    assert all(broken[name][1] == healthy[name][1] for name in broken)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: CurvatureAlignment(pairs=0), "pairs >= 1, got 0"),
        (lambda: CurvatureAlignment(kinds=("querry",)), "did you mean 'query'"),
        (lambda: INSTRUMENT.measure(Window(tuple(run(2)))), "evaluates the model"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_layout_of_the_test_is_what_it_says():
    assert LAYOUT.span("blocks.0.attention.key.weight").stop == ATTENTION.stop
