"""Claims on what becomes of decay: each holds and fails as planted."""

import pytest
from planted_claims import HOLDS, OUTCOMES, Planted, planted_arms, statuses

from spectraledge.experiments.beyond.decay_schedule import (
    ALIGNED,
    FIXED,
    GENERALISED,
    schedule_claims,
)
from spectraledge.experiments.spectral_edge.edge_regimes import DYCK, edge_regimes
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup
from spectraledge.experiments.spectral_edge.flip_claims import NEW_WORDS
from spectraledge.experiments.spectral_edge.release_arms import (
    ARMS,
    BASELINE,
    EARLY_ARMS,
    RELEASED,
    SPARED,
    early,
    held,
    restarted,
)
from spectraledge.experiments.spectral_edge.release_claims import BY_EDGE, RETURNED, release_claims
from spectraledge.experiments.spectral_edge.release_runs import (
    ATTENTION,
    PROBE,
    SPLIT,
    release_curve,
)
from spectraledge.experiments.spectral_edge.release_sections import release_sections

REGIME = edge_regimes("demo")[DYCK]
STEPS, ACCURACY, NORM = 4000, REGIME.metric, release_curve(SPLIT, "weight_norm")
PUBLISHED, FREE = (
    release_curve(PROBE, output, "blocks.1", "linear") for output in ("published_score", "score")
)
LAYERS = [f"blocks.{layer}.attention" for layer in range(2)]
ENTROPIES = [
    release_curve(ATTENTION, "entropy", layer, str(head)) for layer in LAYERS for head in range(4)
]
SAME = {
    ACCURACY: 0.9,
    NEW_WORDS: 0.85,
    NORM: 1.0,
    PUBLISHED: 0.9,
    FREE: 0.9,
    **dict.fromkeys(ENTROPIES, 1.0),
    **{release_curve(ATTENTION, "uniform_entropy", layer): 2.0 for layer in LAYERS},
}
OFF, ALONG = BY_EDGE


def at_end(holds, fails):
    """The last of the run counts, not what comes before."""
    return ({0: fails, STEPS - 400: holds}, {0: holds, STEPS - 400: fails})


def one(claim, arm, curve, holds, fails):
    return Planted(claim, {(arm, curve): at_end(holds, fails)})


def norms(claim, **pairs):
    """Of the arms named, when the claim holds and when it fails."""
    arms = {"none": RELEASED, "spared": SPARED, "off": OFF, "along": ALONG, "back": RETURNED}
    return Planted(claim, {(arms[name], NORM): at_end(*pair) for name, pair in pairs.items()})


OFF_EDGE, ALONG_EDGE, BACK = (
    "Decay off the edge alone compresses as much",
    "Decay along the edge alone compresses as much",
    "What was released is compressed again when decay returns",
)
SHARPER = "Released attention becomes sharper though no longer than before"
HELD_BACK = (
    "Releasing decay brings the published linear probe back, attention no longer than before"
)
EARLY_COST = "Decay released before generalising costs accuracy"
EARLY_BACK = "The probe comes back when decay is released before generalising too"
NEW_TOO = ", on words not trained on either"
NEW = "The probe comes back with a new optimizer too, as published"
RELEASE = [
    one("Released weights grow back", RELEASED, NORM, 1.5, 0.8),
    Planted("Released attention becomes sharper", {
        (RELEASED, curve): at_end(0.8, 1.2) for curve in ENTROPIES
    }),
    one("Releasing decay brings the published linear probe back", RELEASED, PUBLISHED, 0.99, 0.8),
    one(NEW, restarted(RELEASED), PUBLISHED, 0.99, 0.8),
    Planted(SHARPER, {(held(RELEASED), curve): at_end(0.8, 1.2) for curve in ENTROPIES}),
    one(HELD_BACK, held(RELEASED), PUBLISHED, 0.99, 0.8),
    one("Holding the length of attention costs no accuracy", held(BASELINE), ACCURACY, 0.9, 0.8),
    one(EARLY_COST, early(RELEASED), ACCURACY, 0.8, 0.95),
    one(EARLY_BACK, early(RELEASED), PUBLISHED, 0.99, 0.8),
    one("Releasing decay makes depth more linear", RELEASED, FREE, 0.99, 0.8),
    one("Releasing decay costs no accuracy", RELEASED, ACCURACY, 0.9, 0.8),
    one("Doubling decay costs no accuracy", "decay 2", ACCURACY, 0.9, 0.8),
    one("A new optimizer alone costs no accuracy", restarted(BASELINE), ACCURACY, 0.9, 0.8),
    one("Low-rank decay of the same length serves as well", "low-rank in attention", ACCURACY,
        0.9, 0.8),
    one(f"Releasing decay costs no accuracy{NEW_TOO}", RELEASED, NEW_WORDS, 0.85, 0.8),
    one(f"Doubling decay costs no accuracy{NEW_TOO}", "decay 2", NEW_WORDS, 0.85, 0.8),
    one(f"A new optimizer alone costs no accuracy{NEW_TOO}", restarted(BASELINE), NEW_WORDS,
        0.85, 0.8),
    one(f"Low-rank decay of the same length serves as well{NEW_TOO}", "low-rank in attention",
        NEW_WORDS, 0.85, 0.8),
    norms(OFF_EDGE, spared=(1.5, 1.5), off=(1.0, 1.3), along=(1.2, 1.0)),
    norms(ALONG_EDGE, spared=(1.5, 1.5), along=(1.0, 1.3), off=(1.2, 1.0)),
    norms(BACK, none=(1.5, 1.5), back=(1.0, 1.3)),
]  # fmt: skip
CONTROLS = [
    one("Released weights grow back", BASELINE, NORM, 0.8, 1.5),
    one(NEW, restarted(BASELINE), PUBLISHED, 0.8, 0.99),
    one(HELD_BACK, held(BASELINE), PUBLISHED, 0.8, 0.99),
    one(EARLY_COST, early(BASELINE), ACCURACY, 0.95, 0.8),
    one("Releasing decay costs no accuracy", BASELINE, ACCURACY, 0.9, 0.99),
]
EVENT = "Decay that goes off with the edge ends better than decay that goes off at a fixed step"
OTHER_EVENT = (
    "Decay that goes off with the edge ends better than decay that goes off at generalising"
)
SCHEDULES = (*FIXED, "a tenth from 600", ALIGNED, GENERALISED)
SCHEDULE = [
    *(
        one(f"“{arm}” costs less than 0.02 of accuracy", arm, ACCURACY, 0.9, 0.8)
        for arm in SCHEDULES
    ),
    *(
        one(f"“{arm}” costs less than 0.005 of scale-free R² of depth", arm, FREE, 0.9, 0.8)
        for arm in SCHEDULES
    ),
    one(EVENT, ALIGNED, ACCURACY, 0.95, 0.8),
    one(OTHER_EVENT, GENERALISED, ACCURACY, 0.8, 0.95),
]
# One fixed step of three alone turns the mean.
LATEST = [one(EVENT, FIXED[-1], ACCURACY, 0.8, 0.99)]


def release(curves, outcome):
    base = dict.fromkeys((BASELINE, *ARMS, *EARLY_ARMS), SAME)
    rows = planted_arms(base, curves, outcome, STEPS)
    return statuses(release_claims(EdgeGroup(DYCK, REGIME, rows)))


def schedule(curves, outcome):
    rows = planted_arms(dict.fromkeys((BASELINE, *SCHEDULES), SAME), curves, outcome, STEPS)
    return statuses(schedule_claims(EdgeGroup(DYCK, REGIME, rows)))


@pytest.mark.parametrize("case", [*RELEASE, *CONTROLS], ids=lambda case: case.claim)
def test_claims_on_release_hold_and_fail_as_planted(case):
    for outcome, status in OUTCOMES:
        assert release(case.curves, outcome)[case.claim] == status


@pytest.mark.parametrize("case", [*SCHEDULE, *LATEST], ids=lambda case: case.claim)
def test_claims_on_schedules_hold_and_fail_as_planted(case):
    for outcome, status in OUTCOMES:
        assert schedule(case.curves, outcome)[case.claim] == status


def test_figures_of_every_arm_are_drawn():
    rows = planted_arms(dict.fromkeys((BASELINE, *ARMS, *EARLY_ARMS), SAME), {}, HOLDS, STEPS)
    (end, over, *_) = release_sections(EdgeGroup(DYCK, REGIME, rows))
    (table,) = end.items
    assert len(table.rows) == len(rows)
    drawn = {
        trace.get("legendgroup") or trace["name"] for f in over.items for trace in f.plot["data"]
    }
    assert drawn == set(rows)


def test_no_claim_is_left_out():
    assert set(release({}, HOLDS)) == {case.claim for case in RELEASE}
    assert set(schedule({}, HOLDS)) == {case.claim for case in SCHEDULE}


def test_the_step_at_which_decay_goes_off_by_itself_is_told():
    decayed = release_curve(SPLIT, "part_norm", "weight_decay")
    case = {(ALIGNED, decayed): ({0: 1.0, 700: 0.0}, 1.0)}
    base = dict.fromkeys((BASELINE, *SCHEDULES), SAME)
    group = EdgeGroup(DYCK, REGIME, planted_arms(base, case, HOLDS, STEPS))
    told = {verdict.claim: verdict.observed for verdict in schedule_claims(group)}
    assert told[EVENT].endswith("goes off after step 600")


@pytest.mark.parametrize("claim", [OFF_EDGE, ALONG_EDGE])
def test_an_arm_above_one_that_spares_attention_leaves_both_ways_of_decay_undecided(claim):
    for off, along in ((1.33, 1.59), (1.0, 1.59), (1.33, 1.0)):
        # No decay at all is another question: there the other weights grow as well.
        case = norms(claim, spared=(1.3, 1.3), none=(1.7, 1.7), off=(off, off),
                     along=(along, along))  # fmt: skip
        assert release(case.curves, HOLDS)[claim] == "undecided"


@pytest.mark.parametrize("claim", [OFF_EDGE, ALONG_EDGE])
def test_without_the_arm_that_spares_attention_neither_way_is_decided(claim):
    case = norms(claim, off=(1.0, 1.0), along=(1.0, 1.0))
    rows = planted_arms(
        dict.fromkeys((BASELINE, *ARMS, *EARLY_ARMS), SAME), case.curves, HOLDS, STEPS
    )
    group = EdgeGroup(DYCK, REGIME, {**rows, SPARED: {}})
    assert statuses(release_claims(group))[claim] == "undecided"


def test_an_arm_above_no_decay_was_not_compressed_again():
    case = norms(BACK, none=(1.19, 1.19), back=(1.5, 1.5))
    assert release(case.curves, HOLDS)[BACK] == "undecided"
