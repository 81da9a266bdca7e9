"""The page on the published basis finds planted ratios, and what knowing the future changes."""

from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
import pytest

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace import published_basis
from spectraledge.experiments.execution_subspace.base_runs import base_runs
from spectraledge.experiments.execution_subspace.published_basis import STUDY
from spectraledge.experiments.execution_subspace.published_basis_claims import (
    chance_of,
    future_by_phase,
    future_over_past,
)
from spectraledge.experiments.execution_subspace.published_basis_runs import (
    PREFIXES,
    REGIMES,
    SO_FAR,
    WHOLE,
    published_basis_runs,
)
from spectraledge.experiments.execution_subspace.regimes import HARD, regime_of
from spectraledge.experiments.execution_subspace.training_phases import PHASES, phases_at
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import by_seed
from spectraledge.instruments import SubspaceProjection, WholeRunProjection
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.rows import Row
from spectraledge.report import write
from spectraledge.store import canonical_json, signature

PARAMETERS, RANK, HORIZON = 290_401, 16, 5000
SCATTER = 0.03  # of the logarithm, between records
RESIDUAL, RATIO, FUTURE = range(3)
SCALES: tuple[Scale, ...] = ("smoke", "demo", "full")


@dataclass(frozen=True)
class Truth:
    """Ratios by phase on the basis of the whole run and so far, and how seeds scatter.

    None was not measured; the scatter is of the logarithm.
    """

    whole: tuple[float, ...] | None = (1.0, 0.9, 0.8, 0.7)
    past: tuple[float, ...] = (1.0, 0.95, 0.8, 0.7)
    apart: float = 0.05


# What the released runs say, what the paper says, and what a basis of the future could do.
AS_RELEASED = Truth()
AS_CLAIMED = Truth((2.0, 2.3, 2.0, 2.0), (1.9, 2.2, 2.0, 2.0))
ONLY_THE_FUTURE = Truth((4.5, 4.0, 3.0, 1.0), (1.0, 1.0, 1.0, 1.0))


def planted(spec, truth):
    """A run that memorises at 600 and generalises at 3000, unless its operation is hard."""
    steps = np.arange(0, min(spec.steps, HORIZON) + 1, spec.record_every)
    late = np.where(steps >= 3000, 1.0, np.where(steps >= 2500, 0.5, 0.05))
    hard = spec.task.operation in HARD
    curves = {
        "step": steps,
        "lost_at": np.full(steps.size, -1),
        "train_accuracy": np.where(steps >= 600, 1.0, 0.3),
        "validation_accuracy": np.full(steps.size, 0.05) if hard else late,
    }
    row = Row(signature(spec), "planted", canonical_json(spec), "done", curves, seconds=60.0)
    at = steps[steps % 500 == 0]
    phase = [PHASES.index(name) for name in phases_at(row, at)]
    rng = np.random.default_rng([spec.seed, len(spec.task.operation)])
    # What scatters between seeds scatters on both bases alike: hence pairs.
    common = np.exp(rng.normal(0, truth.apart))
    for name, ratios in ((WHOLE, truth.whole), (SO_FAR, truth.past)):
        if ratios is not None:
            curves |= projections(PREFIXES[name], at, np.array(ratios)[phase] * common, rng)
    curves[f"{PREFIXES[SO_FAR]}/rank"] = np.where(at > 0, RANK, 0)
    for name in ("ratio", "share"):
        key = f"{PREFIXES[SO_FAR]}/{name}"
        curves[key] = np.where(at > 0, curves[key], np.nan)
    return replace(row, curves=curves)


def projections(prefix, at, ratio, rng):
    ratio = ratio * np.exp(rng.normal(0, SCATTER, at.size))
    chance = RANK / PARAMETERS
    curves = {
        "step": at,
        "rank": np.full(at.size, RANK),
        "share": chance * ratio**2,
        "residual": np.sqrt(1 - chance * ratio**2),
        "ratio": ratio,
        "ratio_lower": np.full(at.size, 0.7),
        "ratio_upper": np.full(at.size, 1.3),
        "ratio_matched": ratio**0.5,
    }
    return {f"{prefix}/{name}": values for name, values in curves.items()}


def wanted(scale="demo"):
    return list(STUDY.wanted(Known(Ledger(), STUDY.until), scale))


def known(truth, scale="demo"):
    return Known(Ledger(planted(spec, truth) for spec in wanted(scale)), STUDY.until)


def statuses(truth, scale="demo"):
    return [verdict.status for verdict in STUDY.page(known(truth, scale), scale).verdicts]


def cells(truth):
    runs = published_basis_runs(REGIMES["demo"])
    return {operation: by_seed(known(truth), specs) for operation, specs in runs.items()}


def test_the_planted_curves_are_those_of_the_instruments():
    """A curve that no instrument measures would leave its figure empty without a word."""
    row = planted(wanted()[0], AS_RELEASED)
    used = {tuple(name.split("/")) for name in row.curves if "/" in name}
    outputs = {WHOLE: WholeRunProjection.outputs, SO_FAR: SubspaceProjection.outputs}
    for basis, prefix in PREFIXES.items():
        mine = {name for own, name in used if own == prefix}
        assert mine <= {*outputs[basis], "step"}
    assert len(used) == 16


@pytest.mark.parametrize(
    ("truth", "residual", "ratio", "future"),
    [
        (AS_RELEASED, "holds", "fails", "fails"),
        (AS_CLAIMED, "holds", "holds", "fails"),
        (ONLY_THE_FUTURE, "fails", "fails", "holds"),
    ],
    ids=["as released", "as claimed", "only the future"],
)
def test_what_is_planted_is_found(truth, residual, ratio, future):
    assert statuses(truth) == [residual, ratio, future]


def test_pairs_take_out_what_seeds_have_in_common():
    found = future_by_phase(cells(replace(ONLY_THE_FUTURE, apart=0.5)))
    for phase, whole, past in zip(PHASES, ONLY_THE_FUTURE.whole, ONLY_THE_FUTURE.past):
        # Single records scatter by 3 % on each basis, which pairs cannot take out.
        assert found[phase].centre == pytest.approx(whole / past, rel=0.05)
        assert found[phase].upper / found[phase].lower < 1.4
    assert found["memorization"].count == 5


def test_the_first_record_has_a_future_and_no_past():
    (spec, *_) = wanted()
    row = planted(spec, AS_RELEASED)
    assert row.curve(f"{PREFIXES[WHOLE]}/ratio")[1][0] > 0
    assert np.isfinite(future_over_past()(row))
    only_start = {n: v[:1] if "/" in n else v for n, v in row.curves.items()}
    assert np.isnan(future_over_past()(replace(row, curves=only_start)))


def test_the_bound_on_the_residual_is_the_published_one_at_the_published_size():
    assert chance_of(cells(AS_RELEASED)) == pytest.approx(RANK / PARAMETERS)
    verdict = STUDY.page(known(AS_RELEASED), "demo").verdicts[RESIDUAL]
    assert "above 0.99960" in verdict.explanation
    assert "says nothing of orthogonality" in verdict.explanation
    assert f"random basis {sqrt(1 - RANK / PARAMETERS):.5f}" in verdict.observed


def test_rows_that_were_not_measured_are_said_to_be(tmp_path):
    page = STUDY.page(known(Truth(whole=None)), "demo")
    assert {(v.status, v.observed) for v in page.verdicts} == {("undecided", "not measured")}
    path = tmp_path / "page.html"
    write(page, path)
    assert "not measured" in path.read_text()
    bare = Ledger(
        replace(row, curves={n: v for n, v in row.curves.items() if "/" not in n})
        for row in known(AS_RELEASED).ledger
    )
    write(STUDY.page(Known(bare, STUDY.until), "demo"), path)


def test_some_that_were_not_measured_leave_the_others(tmp_path):
    rows = [
        planted(spec, AS_RELEASED if spec.seed < 204 else Truth(whole=None)) for spec in wanted()
    ]
    page = STUDY.page(Known(Ledger(rows), STUDY.until), "demo")
    assert [v.status for v in page.verdicts] == ["holds", "fails", "fails"]
    write(page, tmp_path / "page.html")


def test_any_part_of_the_rows_is_a_page(tmp_path):
    rows = list(known(AS_RELEASED).ledger)
    for count in (1, 3, 6):
        chosen = np.random.default_rng(count).permutation(len(rows))[:count]
        page = STUDY.page(Known(Ledger(rows[i] for i in chosen), STUDY.until), "demo")
        write(page, tmp_path / "page.html")


def test_nothing_is_a_page_and_smoke_decides_nothing(tmp_path):
    for scale in SCALES:
        page = STUDY.page(Known(Ledger(), STUDY.until), scale)
        assert {v.status for v in page.verdicts} == {"undecided"}
        write(page, tmp_path / "page.html")
    assert set(statuses(AS_CLAIMED, "smoke")) == {"undecided"}


def test_every_part_of_the_page_is_there(tmp_path):
    page = STUDY.page(known(AS_RELEASED), "demo")
    write(page, tmp_path / "page.html")
    assert [len(s.items) for s in page.sections] == [2, 2, 2, 3, 1]


@pytest.mark.parametrize("scale", SCALES)
def test_no_other_study_has_trained_these_runs(scale):
    """Its rows would lack what this study measures."""
    others = {spec for runs in base_runs(regime_of(scale)).values() for spec in runs}
    assert not others & set(wanted(scale))


def test_the_study_keeps_what_it_needs():
    assert STUDY.keep_snapshots
    assert published_basis.PublishedBasis() == STUDY
