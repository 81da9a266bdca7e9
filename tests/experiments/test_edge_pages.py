"""Pages of the spectral edge: nothing known, planted truth, and the rules of the claims."""

from collections.abc import Callable

import numpy as np
import pytest

from spectraledge.experiments.beyond.curvature_under_low_rank_decay import STUDY as CURVATURE
from spectraledge.experiments.beyond.decay_schedule import STUDY as SCHEDULE
from spectraledge.experiments.beyond.edge_under_low_rank_decay import STUDY as LOW_RANK_EDGE
from spectraledge.experiments.spectral_edge.decay_release import STUDY as RELEASE
from spectraledge.experiments.spectral_edge.edge_regimes import (
    DECAY,
    DENSE,
    DYCK,
    NO_DECAY,
    SHUFFLED,
    edge_regimes,
)
from spectraledge.experiments.spectral_edge.edge_runs import (
    ABLATION,
    EDGE,
    NARROW_EDGE,
    SPLIT,
    SPLITS,
    curve_name,
    edge_groups,
    flip_steps,
)
from spectraledge.experiments.spectral_edge.flat_yet_critical import STUDY as FLAT
from spectraledge.experiments.spectral_edge.flip_claims import NEW_WORDS, flips
from spectraledge.experiments.spectral_edge.gap_claims import declines
from spectraledge.experiments.spectral_edge.gap_compression import STUDY as GAP
from spectraledge.experiments.spectral_edge.multi_seed import STUDY as SEEDS
from spectraledge.experiments.spectral_edge.reencoded_not_lost import STUDY as PROBES
from spectraledge.experiments.spectral_edge.two_phase_lifecycle import STUDY as LIFECYCLE
from spectraledge.experiments.spectral_edge.universality_classes import STUDY as CLASSES
from spectraledge.experiments.study import Known
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.rows import Row
from spectraledge.report import write
from spectraledge.series import EdgeNumbers, universality_class
from spectraledge.store import canonical_json, signature

SHARED = (LIFECYCLE, GAP, FLAT, SEEDS, CLASSES)
STUDIES = (*SHARED, PROBES, RELEASE, LOW_RANK_EDGE, CURVATURE, SCHEDULE)
WITH_THE_WINDOW = "The first flip comes when the first displacement leaves the window"
REGIME = edge_regimes("demo")[DYCK]
GROKKED = 1500


@pytest.mark.parametrize("study", STUDIES, ids=lambda s: s.name)
@pytest.mark.parametrize("scale", ["smoke", "demo", "full"])
def test_a_page_of_nothing_says_so(study, scale, tmp_path):
    page = study.page(Known(Ledger(), study.until), scale)
    assert page.summary.startswith("Nothing was run yet.")
    assert page.verdicts
    for verdict in page.verdicts:
        assert verdict.status == "undecided"
        assert verdict.explanation
    write(page, tmp_path / "page.html")


@pytest.mark.parametrize("study", STUDIES, ids=lambda s: s.name)
def test_specs_are_distinct_and_repeatable(study):
    known = Known(Ledger(), study.until)
    wanted = list(study.wanted(known, "demo"))
    assert len(set(wanted)) == len(wanted) > 0
    assert wanted == list(study.wanted(known, "demo"))


def test_studies_with_other_instruments_share_no_run():
    # A row holds what was measured when it was made.
    known = Known(Ledger(), None)
    edges, probes, released = (
        set(study.wanted(known, "demo")) for study in (LIFECYCLE, PROBES, RELEASE)
    )
    assert not edges & probes
    assert not edges & released
    assert not probes & released


def planted(
    flip: Callable[[object, int], float],
    shuffled_flips: bool = True,
    again: tuple[str, ...] = (),
) -> Known:
    """Dyck-1 runs that generalise at `GROKKED`; flips follow from the split and the cadence.

    Those of the conditions `again` flip once more at 1700.
    """
    ledger = Ledger()
    for condition, runs in REGIME.conditions().items():
        for spec in runs:
            ledger.add(_row(spec, condition, flip, shuffled_flips, condition in again))
    return Known(ledger, None)


def _row(spec, condition, flip, shuffled_flips, again=False):
    steps = np.arange(0, spec.steps + 1, spec.record_every)
    grown = (steps >= GROKKED) & (condition == DECAY)
    curves = {
        "step": steps,
        "lost_at": np.full(steps.size, -1),
        "validation_accuracy": np.where(grown, 0.97, 0.87),
    }
    decays = condition in (DECAY, DENSE) or (condition == SHUFFLED and shuffled_flips)
    for split in SPLITS:
        turns = flip(split, spec.record_every)
        turned = (steps >= turns) & (steps < turns + 300) & decays
        turned |= (steps >= 1700) & (steps < 1900) & again
        share = np.where(turned, 0.05, 0.95)
        curves |= {
            curve_name(split, "step"): steps,
            curve_name(split, "energy_share", "gradient", "v1"): share,
        }
    curves |= {
        curve_name(SPLIT, "interval_share", "weight_decay"): np.where(steps < 200, 0.1, 0.8),
        curve_name(SPLIT, "interval_cosine"): np.full(steps.size, -0.3 - 0.01 * (spec.seed % 3)),
        curve_name(SPLIT, "alignment", "v1"): np.full(steps.size, 0.95),
        curve_name(SPLIT, "trapezoid_share", "v1"): share,
        curve_name(EDGE, "step"): steps,
        curve_name(EDGE, "gap23"): np.where(steps < 700, 10.0, 1.0) * (1 + 0.1 * (spec.seed % 3)),
        curve_name(NARROW_EDGE, "step"): steps,
        curve_name(NARROW_EDGE, "gap23"): np.where(steps < 700, 12.0, 3.0),
        curve_name(ABLATION, "step"): steps,
        curve_name(ABLATION, "edge_over_matched"): np.full(steps.size, 1.0 + 0.1 * (spec.seed % 2)),
    }
    return Row(signature(spec), "planted", canonical_json(spec), "done", curves, seconds=1.0)


def verdicts(study, known):
    page = study.page(known, "demo")
    return {v.claim.removeprefix("Dyck-1: "): v for v in page.verdicts if DYCK in v.claim}


def window_end(split, every=REGIME.record_every):
    return (split.window + 1) * split.stride * every


def test_flips_that_come_with_the_window_are_told_from_those_of_training():
    by_window = verdicts(LIFECYCLE, planted(window_end))
    assert by_window[WITH_THE_WINDOW].status == "holds"
    assert by_window["The first flip comes when a run generalises"].status == "fails"
    by_training = verdicts(LIFECYCLE, planted(lambda split, every: GROKKED))
    assert by_training[WITH_THE_WINDOW].status == "fails"
    assert by_training["The first flip comes when a run generalises"].status == "holds"
    as_before = "With snapshots twice as often the flip comes when it came before"
    assert by_window[as_before].status == "fails"
    assert by_training[as_before].status == "holds"


def test_the_flip_is_the_first_full_window_after_the_gradient():
    group = edge_groups(planted(window_end), "demo")[DYCK]
    for split in SPLITS:
        assert flips(group, split) == [window_end(split)] * len(REGIME.seeds)
        assert flips(group, split, DENSE) == [window_end(split) / 2] * len(REGIME.seeds)
    assert np.isnan(flips(group, SPLIT, NO_DECAY)).all()


def test_controls_decide():
    flipping = verdicts(LIFECYCLE, planted(window_end))
    still = verdicts(LIFECYCLE, planted(window_end, shuffled_flips=False))
    assert flipping["Runs that cannot generalise do not flip"].status == "fails"
    assert still["Runs that cannot generalise do not flip"].status == "holds"
    assert flipping["Gradient and decay point the same way"].status == "fails"
    assert flipping["Displacements are the gradient's until a run generalises"].status == "fails"
    assert flipping["After generalising, decay drives the edge for good"].status == "fails"


@pytest.mark.parametrize(
    ("again", "status"),
    [((DECAY,), "holds"), ((DECAY, SHUFFLED), "fails"), ((SHUFFLED,), "fails"), ((), "fails")],
)
def test_a_second_flip_needs_real_labels(again, status):
    claim = "A second flip comes with real labels and not with shuffled ones"
    found = verdicts(LIFECYCLE, planted(window_end, again=again))[claim]
    assert found.status == status
    one = {True: "1.000 [1.000, 1.000]", False: "0.000 [0.000, 0.000]"}
    words = f"{one[DECAY in again]} of the windows with real labels, {one[SHUFFLED in again]}"
    assert words in found.observed


def test_a_later_flip_that_comes_with_generalising_is_found():
    claim = "Some flip, first or later, comes when a run generalises"
    # The planted runs generalise between two seeds' flips or far from them; and all at once.
    assert verdicts(LIFECYCLE, planted(lambda split, every: GROKKED))[claim].status == "holds"
    assert verdicts(LIFECYCLE, planted(lambda split, every: 4000))[claim].status == "fails"
    twice = planted(window_end)
    for row in twice.ledger:
        for split in SPLITS:
            name = curve_name(split, "energy_share", "gradient", "v1")
            steps, share = row.curve(name)
            share[(steps >= GROKKED) & (steps < GROKKED + 300)] = 0.05
    late = verdicts(LIFECYCLE, twice)
    assert late[claim].status == "holds"
    assert late["The first flip comes when a run generalises"].status == "fails"


def test_flips_are_all_falls_below_one_half():
    (row, *_) = edge_groups(planted(window_end), "demo")[DYCK].rows[DECAY].values()
    name = curve_name(SPLIT, "energy_share", "gradient", "v1")
    steps, share = row.curve(name)
    share[:] = 0.9
    share[[7, 8, 20]] = 0.1
    share[2] = 0.4  # of two displacements, and nothing above came before
    share[:2] = 0.0
    assert flip_steps(row, SPLIT, 100).tolist() == [steps[7], steps[20]]


def test_words_that_training_lacks_have_a_date_of_their_own():
    claim = "Words that training lacks are learned when held-out rows are"
    assert claim not in verdicts(LIFECYCLE, planted(window_end))
    for later, status in ((0, "holds"), (500, "fails")):
        known = planted(window_end)
        for row in known.ledger:
            steps = row.curves["step"]
            row.curves[NEW_WORDS] = np.where(steps >= GROKKED + later, 0.97, 0.5)
        assert verdicts(LIFECYCLE, known)[claim].status == status


def test_a_phase_that_ends_before_the_run_does_not_last():
    claim = "After generalising, decay drives the edge for good"
    for end, status in ((np.inf, "holds"), (4000, "fails")):
        known = planted(window_end)
        for row in known.ledger:
            steps, share = row.curve(curve_name(SPLIT, "energy_share", "gradient", "v1"))
            share[(steps >= 600) & (steps < end)] = 0.05
        assert verdicts(LIFECYCLE, known)[claim].status == status


def test_declines_end_where_a_run_generalises():
    group = edge_groups(planted(window_end), "demo")[DYCK]
    seeds = set(REGIME.seeds)
    assert declines(group, NARROW_EDGE) == dict.fromkeys(seeds, pytest.approx(4.0))
    assert declines(group, EDGE) == dict.fromkeys(seeds, pytest.approx(10.0))
    assert declines(group, EDGE, NO_DECAY) == dict.fromkeys(seeds, pytest.approx(10.0))
    page = verdicts(GAP, planted(window_end))
    assert page["The gap declines before a run generalises"].status == "holds"
    assert page["It does not decline in runs with no decay"].status == "fails"
    assert page["It declines as much with snapshots twice as often"].status == "holds"


def test_declines_count_full_windows_unless_asked():
    known = planted(window_end)
    for row in known.ledger:
        steps, gaps = row.curve(curve_name(EDGE, "gap23"))
        gaps[steps == 200] = 1000.0  # a window of two displacements
    group = edge_groups(known, "demo")[DYCK]
    assert declines(group, EDGE) == dict.fromkeys(REGIME.seeds, pytest.approx(10.0))
    assert min(declines(group, EDGE, least=2).values()) > 500
    # No window of five is full before step 500.
    early = declines(group, EDGE, NO_DECAY, last=500)
    assert all(np.isnan(value) for value in early.values())


def test_declines_that_hang_on_the_window_are_told_from_those_that_do_not():
    claim = "The decline does not depend on window and cadence"
    # Planted declines of 4 and 10 times.
    assert verdicts(GAP, planted(window_end))[claim].status == "fails"
    for ends, status in (((1.2, 1.1), "holds"), ((12.0, 0.1), "undecided")):
        known = planted(window_end)
        for seed, row in edge_groups(known, "demo")[DYCK].rows[DECAY].items():
            _, narrow = row.curve(curve_name(NARROW_EDGE, "gap23"))
            narrow[narrow == 3.0] = ends[seed % 2]
        assert verdicts(GAP, known)[claim].status == status


@pytest.mark.parametrize(
    ("ratio", "status"), [(20.0, "holds"), (7.0, "fails"), (None, "undecided")]
)
def test_noise_has_a_ratio_of_its_own(ratio, status):
    # Noise of 131,072 attention weights in windows of five has 13.5.
    known = planted(window_end)
    for row in known.ledger:
        if ratio is not None:
            size = row.curve(curve_name(EDGE, "gap23"))[0].size
            name = curve_name(EDGE, "published_threshold_ratio")
            row.curves[name] = np.full(size, ratio) + 0.1 * (int(row.signature[:4], 16) % 3)
    claim = "Singular values stand out of the noise more than noise itself does"
    found = verdicts(GAP, known)[claim]
    assert found.status == status
    assert ratio is None or "of noise 13.5" in found.observed


@pytest.mark.parametrize("study", SHARED, ids=lambda s: s.name)
def test_a_page_of_some_runs_renders(study, tmp_path):
    write(study.page(planted(window_end), "demo"), tmp_path / "page.html")


NUMBERS = dict(
    decay_share=0.1, gradient_share=0.9, special=1.5, gamma=9.0, peak=0.3, overlap=0.5, turn=0.0
)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "functional"),
        ({"peak": 0.05}, "mixed"),
        ({"peak": np.nan}, ""),
        ({"peak": np.nan, "special": 1.0}, "mixed"),
        ({"gradient_share": 0.4}, "mixed"),
        ({"decay_share": 0.5, "special": 0.5}, "compression"),
        ({"decay_share": 0.5, "special": 1.1}, "mixed"),
        ({"special": np.nan}, ""),
    ],
)
def test_classes_follow_the_rule(changed, expected):
    name, margin = universality_class(EdgeNumbers(**(NUMBERS | changed)))
    assert name == expected
    assert np.isnan(margin) if not expected else margin > 0


def test_the_margin_is_that_of_the_number_which_decides():
    assert universality_class(EdgeNumbers(**NUMBERS))[1] == pytest.approx(1.5 / 1.3 - 1)
    assert universality_class(EdgeNumbers(**(NUMBERS | {"special": 1.2})))[1] == pytest.approx(
        0.1 / 1.3
    )
