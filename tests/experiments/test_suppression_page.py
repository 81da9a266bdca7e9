"""The page on suppression finds planted effects and their opposites, and decides nothing else."""

from functools import cache

import numpy as np
import pytest

from experiments.planted_interventions import planted_interventions, planted_row, scatter
from spectraledge.experiments.execution_subspace.base_runs import DECAY, base_runs
from spectraledge.experiments.execution_subspace.intervention_effects import (
    BASELINE,
    delays_of,
    watched_to,
)
from spectraledge.experiments.execution_subspace.interventions import (
    HORIZON,
    baselines,
    intervened,
    protocol_of,
    wanted_baselines,
)
from spectraledge.experiments.execution_subspace.regimes import HELD_OUT, REDUCED, UNTIL
from spectraledge.experiments.execution_subspace.suppression_arms import (
    AFTER_ADAM,
    AMPLIFIED,
    AMPLIFIED_OTHER,
    CHAINS,
    DECAY_INSIDE,
    INITIAL,
    NORM_MATCHED,
    OTHER_BATCHES,
    OWN_PAST,
    PRIMARY,
    dose,
)
from spectraledge.experiments.execution_subspace.suppression_claims import dose_slope
from spectraledge.experiments.execution_subspace.suppression_dose_response import STUDY
from spectraledge.experiments.study import Known
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.rows import Row
from spectraledge.report import write
from spectraledge.store import signature
from spectraledge.training import batch_key
from spectraledge.updates import reference_runs_of

DELAYS = {dose(0.25): 60, dose(0.5): 250, PRIMARY: 800}


def ordinary(arm, seed):
    # Records are 100 apart, so of this scatter of ±50 at most one record is left.
    return 4000 + 100 * (seed % 5) + scatter(arm, seed, 50)


def published(arm, seed):
    """Suppression delays; no control does anything; full strength forgets nothing."""
    if "s = 1" in arm:
        return None, 1.0
    return ordinary(arm, seed) + DELAYS.get(arm, 0), 1.0


def amplification(arm, seed):
    """As published, but amplification delays as much, and full strength loses memorisation."""
    step, _ = published("no intervention" if arm == AMPLIFIED else arm, seed)
    if arm == AMPLIFIED:
        step += 800
    return step, 0.05 if "s = 1" in arm else 1.0


def other_batches(later):
    """Suppression on a basis of other batches delays by 400, amplification by as much as given."""

    def rule(arm, seed):
        step, train = published("no intervention" if arm == AMPLIFIED else arm, seed)
        step = (
            None
            if step is None
            else step + {OTHER_BATCHES: 400, AMPLIFIED_OTHER: later}.get(arm, 0)
        )
        return step, train

    return rule


ALIKE, ALONE, NEITHER = other_batches(400), other_batches(0), other_batches(-900)


def nothing(arm, seed):
    """No intervention does anything."""
    return ordinary(arm, seed), 1.0


@cache
def known(rule, scale="demo"):
    return planted_interventions(protocol_of(scale), CHAINS, rule)


def statuses(page):
    return [v.status for v in page.verdicts]


@cache
def demo(rule):
    return STUDY.page(known(rule), "demo")


def test_nothing_known_is_a_page(tmp_path):
    page = STUDY.page(Known(Ledger(), STUDY.until), "demo")
    assert set(statuses(page)) == {"undecided"}
    write(page, tmp_path / "page.html")


DOSE, NEVER, LEARNING, SUPPRESSES, PROTOCOL = (
    "The stronger", "At s = 1 no run", "At s = 1 grokking", "Suppression of the outside",
    "On a basis from other batches",
)  # fmt: skip
SIZE = "At s = 0.75 it delays grokking by a fifth to a quarter, basis"
RANDOM, INSIDE, SCALING, AFTER, BATCHES = (
    "A random basis of", "A random basis inside", "A gradient of a quarter",
    "Suppression that Adam", "A basis from",
)  # fmt: skip


def told(page):
    """Status by how the claim begins."""
    found = {v.claim: v.status for v in page.verdicts}
    return lambda words: next(status for claim, status in found.items() if claim.startswith(words))


def test_the_published_reading_is_found_where_it_was_planted():
    found = told(demo(published))
    for claim in (DOSE, SIZE, RANDOM, INSIDE, NEVER, LEARNING, SUPPRESSES, SCALING, BATCHES):
        assert found(claim) == "holds", claim
    assert found(AFTER) == found(PROTOCOL) == "undecided"


def test_amplification_and_lost_memorisation_are_found_where_they_were_planted():
    found = told(demo(amplification))
    assert found(LEARNING) == found(SUPPRESSES) == "fails"
    for claim in (DOSE, SIZE, RANDOM, INSIDE, NEVER):
        assert found(claim) == "holds", claim


def test_the_published_protocol_is_told_apart_as_the_other_one():
    assert told(demo(ALIKE))(PROTOCOL) == "fails"
    assert told(demo(ALONE))(PROTOCOL) == "holds"
    # Suppression delays and amplification hastens: both act, and nothing is said of either.
    assert told(demo(NEITHER))(PROTOCOL) == "holds"
    assert told(demo(nothing))(PROTOCOL) == "undecided"


def test_the_published_size_is_read_on_the_published_basis():
    as_published = "At s = 0.75 it delays grokking by a fifth to a quarter, as published"

    def by_850(arm, seed):
        step, train = nothing(arm, seed)
        return step + 850 * (arm == OTHER_BATCHES), train

    assert told(demo(by_850))(as_published) == "holds"
    assert told(demo(by_850))(SIZE) == "fails"
    assert told(demo(nothing))(as_published) == "fails"


def test_no_effect_is_no_support():
    found = told(demo(nothing))
    assert found(SIZE) == found(NEVER) == "fails"
    assert found(DOSE) in ("fails", "undecided")
    assert found(SUPPRESSES) == "undecided"


def test_every_control_is_told_of():
    """A control that delays by 900 steps is found; the others stay as they were."""
    for arm, claim in CONTROL_CLAIMS.items():

        def late(name, seed, arm=arm):
            return ordinary(name, seed) + (900 if name == arm else 0), 1.0

        found = told(demo(late))
        assert found(claim) == "holds"
        others = [found(words) for own, words in CONTROL_CLAIMS.items() if own != arm]
        assert set(others) <= {"undecided", "fails"}


CONTROL_CLAIMS = {
    NORM_MATCHED: "Suppression delays at the length", OWN_PAST: "Suppression of what leaves",
    INITIAL: "So does suppression", DECAY_INSIDE: "Decay inside", AFTER_ADAM: AFTER,
}  # fmt: skip


def test_delay_is_that_planted():
    (words,) = (v.observed for v in demo(published).verdicts if v.claim.startswith(SIZE))
    # 800 planted; two times are each rounded up to 100 and scattered by 50.
    assert abs(float(words.split()[0]) - 800) < 100


def test_the_slope_is_that_of_least_squares():
    def line(arm, seed):
        strength = {"no intervention": 0.0} | {dose(s): s for s in (0.25, 0.5, 0.75)}
        return 4000 + 800 * strength.get(arm, 0.0), 1.0

    found = planted_interventions(protocol_of("demo"), CHAINS, line)
    from spectraledge.experiments.execution_subspace.intervention_effects import arms_of

    slopes = dose_slope(arms_of(found, protocol_of("demo"), CHAINS), HORIZON)
    np.testing.assert_allclose(slopes, [800.0] * 5, rtol=1e-9)


def test_a_run_that_never_groks_has_no_delay_but_that_it_is_later():
    table = demo(published).sections[-2].items[-1]
    row = next(row for row in table.rows if row[0] == dose(1.0))
    assert row[1].startswith("0 of 5")
    assert row[2] == f"none by step {HORIZON}"


def cells(own, other):
    """One operation with two arms that grok at the given steps, None for never."""
    arms = {"a": own, "b": other, BASELINE: [3000] * len(own)}
    return {"add": {arm: dict(enumerate(map(grokking, steps))) for arm, steps in arms.items()}}


def grokking(step):
    steps = np.arange(0, HORIZON + 1, 100)
    held = steps >= (np.inf if step is None else step - 200)
    curves = {"step": steps, HELD_OUT: np.where(held, 1.0, 0.1)}
    return Row("", "planted", "{}", "done", curves, seconds=1.0)


def test_censored_delays_are_lower_bounds_and_their_difference_unknown():
    own, other = [5000, None, None], [5200, None, 7000]
    found = delays_of(cells(own, other), "a", HORIZON)
    assert found.words().startswith("at least ")
    assert found.words().endswith(f"1 of 3 grok by step {HORIZON}")
    between = delays_of(cells(own, other), "a", HORIZON, "b")
    assert between.unknown == 1
    assert between.difference_words().startswith("unknown, since in 1 of 3 pairs neither")
    seen = delays_of(cells([5000, 5100], [5200, 7000]), "a", HORIZON, "b")
    assert (seen.unknown, seen.censored) == (0, False)
    assert "steps (97.5 %)" in seen.difference_words(0.975)
    never = delays_of(cells([None, None], other), "a", HORIZON)
    assert never.words() == f"none of 2 grok by step {HORIZON}"


def trained_to(step, last):
    """A row that ends at a step, grokked at another or never."""
    steps = np.arange(0, last + 1, 100)
    first = np.inf if step is None else step - 200
    curves = {
        "step": steps,
        "validation_accuracy": np.where(steps >= first, 1.0, 0.02),
        "lost_at": np.full(steps.size, -1),
    }
    return Row("signature", "name", "{}", "decided", curves)


def test_runs_that_were_trained_on_count_as_far_as_all_that_they_are_compared_with():
    plain = {seed: trained_to(4000, 4000) for seed in (0, 1)}
    late = {0: trained_to(13_400, 13_400), 1: trained_to(None, 15_000)}
    assert watched_to(late.values(), HORIZON) == 15_000
    found = delays_of({"add": {BASELINE: plain, "a": late}}, "a", HORIZON)
    assert found.steps == {0: 9400.0, 1: 11_000.0}
    assert found.words().endswith("1 of 2 grok by step 15000")
    # One that stopped at the horizon holds the others back.
    short = {0: late[0], 1: trained_to(None, HORIZON)}
    assert watched_to(short.values(), HORIZON) == HORIZON
    assert delays_of({"add": {BASELINE: plain, "a": short}}, "a", HORIZON).grokked == 0
    # Where all grokked at last nothing is censored.
    both = {0: late[0], 1: trained_to(14_000, 14_000)}
    found = delays_of({"add": {BASELINE: plain, "a": both}}, "a", HORIZON)
    assert (found.censored, found.steps) == (False, {0: 9400.0, 1: 10_000.0})
    assert watched_to([], HORIZON) == HORIZON


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_any_part_of_the_rows_is_a_page(share, tmp_path):
    rows = list(known(published).ledger)
    kept = [row for row in rows if np.random.default_rng(len(row.spec_json)).random() < share]
    write(STUDY.page(Known(Ledger(kept), STUDY.until), "demo"), tmp_path / "page.html")


def test_published_size_has_sections_of_every_operation_and_smoke_decides_nothing():
    page = STUDY.page(known(amplification, "full"), "full")
    found = told(page)
    assert found(NEVER) == "holds"
    assert found(LEARNING) == found(SUPPRESSES) == "fails"
    for operation in ("add", "sub", "mul", "x2_y2"):
        assert any(operation in section.title for section in page.sections)
    smoke = STUDY.page(known(published, "smoke"), "smoke")
    assert set(statuses(smoke)) == {"undecided"}


def test_only_seeds_that_grokked_are_intervened_on_with_their_own_trajectory():
    protocol = protocol_of("demo")

    def one_never(arm, seed):
        return (None if seed == 3 else 4000.0), 1.0

    runs = intervened(planted_interventions(protocol, CHAINS, one_never), protocol, CHAINS)
    for spec in runs["add", PRIMARY]:
        ((reference, until),) = reference_runs_of(spec.updates).items()
        assert (reference.seed, until) == (spec.seed, 5000)
    assert [spec.seed for spec in runs["add", PRIMARY]] == [0, 1, 2, 4]


def test_left_out_runs_are_said_to_flatter_the_others():
    def one_never(arm, seed):
        return (None if seed == 3 else 4000.0), 1.0

    found = planted_interventions(protocol_of("demo"), CHAINS, one_never)
    assert "1 of 5 ordinary runs did not grok" in STUDY.page(found, "demo").summary
    assert "ordinary runs did not grok" not in demo(published).summary
    # Also where it was only watched as long as other studies do.
    rows = {row.signature: row for row in found.ledger}
    late = next(spec for spec in baselines(protocol_of("demo"))["add"] if spec.seed == 3)
    rows[signature(late)] = planted_row(late, None, 1.0).until(UNTIL)
    cut = Known(Ledger(rows.values()), STUDY.until)
    assert "1 of 5 ordinary runs did not grok" in STUDY.page(cut, "demo").summary


def test_strengths_and_seeds_share_a_batch():
    runs = intervened(known(published), protocol_of("demo"), CHAINS)
    keys = {batch_key(spec) for s in (0.25, 0.5, 0.75, 1.0) for spec in runs["add", dose(s)]}
    assert len(keys) == 1


def test_ordinary_runs_are_those_of_the_other_studies_and_are_not_trained_on():
    protocol = protocol_of("demo")
    specs = baselines(protocol)["add"]
    assert specs == base_runs(REDUCED)["add", DECAY][:5]
    # Decided for the others at their horizon, without having grokked.
    whole = planted_row(specs[0], None, 1.0)
    cut = Known(Ledger([whole.until(UNTIL)]), STUDY.until)
    assert list(wanted_baselines(cut, protocol)) == specs[1:]
    assert list(wanted_baselines(Known(Ledger(), STUDY.until), protocol)) == specs
