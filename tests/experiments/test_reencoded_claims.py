"""Claims on what can be read from representations: each holds and fails as planted."""

import pytest
from planted_claims import HOLDS, OUTCOMES, Planted, only_at, planted_arms, statuses

from spectraledge.experiments.spectral_edge.dyck_probes import (
    ATTENTION,
    COMPOSITION,
    PROBE,
    RESPONSE,
    probe_curve,
    probe_regime,
)
from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, DYCK, NO_DECAY
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup
from spectraledge.experiments.spectral_edge.reencoded_claims import readout, reencoded_claims

BLOCK, READERS = "blocks.1", ("linear", "quadratic", "mlp")
LAYERS = [f"blocks.{layer}.attention" for layer in range(2)]
HEADS = [(layer, str(head)) for layer in LAYERS for head in range(4)]
SIGN = "representation to token"
READINGS = ("token", "position", "token and position", "with crosses", SIGN)


def probe(output, reader):
    return probe_curve(PROBE, output, BLOCK, reader)


def response(output, direction):
    return probe_curve(RESPONSE, output, direction)


SAME = {
    **{
        probe(output, reader): 0.5
        for reader in READERS
        for output in ("published_score", "score", "untrained", "shuffled", "random_direction")
    },
    readout("score"): 0.5,
    readout("accuracy"): 0.5,
    probe_curve(PROBE, "spread", BLOCK): 1.0,
    **{probe_curve(ATTENTION, "uniform_entropy", layer): 2.0 for layer in LAYERS},
    **{probe_curve(ATTENTION, "entropy", layer, head): 1.0 for layer, head in HEADS},
    **{
        response(output, direction): 0.5
        for output in ("published_score", "score", "elevation")
        for direction in ("v1", "random", "weights")
    },
    **{
        probe_curve(COMPOSITION, output, reading): 0.5
        for output in ("published_score", "score")
        for reading in READINGS
    },
    probe_curve(COMPOSITION, "class_distance"): 1.0,
    probe_curve(COMPOSITION, "relative_distance"): 1.0,
}
BASE = {DECAY: SAME, NO_DECAY: SAME}


def late(claim, curve, holds, fails, condition=DECAY, step=3900):
    """A claim about one curve at one step; at all others it is the other way round."""
    pair = (only_at(step, holds, fails), only_at(step, fails, holds))
    return Planted(claim, {(condition, curve): pair})


def entropies(claim, condition, holds, fails):
    pair = (only_at(3900, holds, fails), only_at(3900, fails, holds))
    curves = [probe_curve(ATTENTION, "entropy", layer, head) for layer, head in HEADS]
    return Planted(claim, {(condition, curve): pair for curve in curves})


CLAIMS = [
    late("The published linear probe reads depth worse at step 3900 than at 500",
         probe("published_score", "linear"), 0.4, 0.6),
    late("A nonlinear probe reads it as before", probe("published_score", "mlp"), 0.99, 0.9),
    late("What is lost to the linear probe is linear no more", probe("score", "linear"), 0.9, 0.99),
    late("Features shrink under decay", probe_curve(PROBE, "spread", BLOCK), 0.2, 1.0),
    late("Networks without decay keep depth more linear", probe("score", "linear"), 0.6, 0.4,
         NO_DECAY),
    late("A quadratic probe fails too", probe("score", "quadratic"), 0.9, 0.99),
    late("Training makes depth readable to the linear probe", probe("score", "linear"), 0.6, 0.4),
    late("Training makes depth readable to the quadratic probe", probe("score", "quadratic"), 0.6,
         0.5),
    late("Training makes depth readable to the mlp probe", probe("score", "mlp"), 0.6, 0.5),
    late("The network itself tells depth better with decay than without", readout("score"), 0.6,
         0.4),
    entropies("Decay makes attention even", DECAY, 1.98, 1.5),
    entropies("Without decay attention stays sharp", NO_DECAY, 1.5, 1.98),
    late("Moving along v₁ changes what is said about depth", response("published_score", "v1"),
         0.8, 0.2, step=4000),
    late("The response along v₁ says more of depth than that along a random direction",
         response("score", "v1"), 0.6, 0.5),
    late("The response along v₁ is one wave over depth", response("elevation", "v1"), 1.0, 0.5,
         step=500),
    late("With decay the last layer forgets which bracket was read",
         probe_curve(COMPOSITION, "score", SIGN), 0.3, 0.5),
    late("With decay classes of depth lie closer together",
         probe_curve(COMPOSITION, "class_distance"), 0.2, 1.0),
    late("… also relative to the spread of the representation",
         probe_curve(COMPOSITION, "relative_distance"), 0.2, 1.0),
]  # fmt: skip
# What the controls change: they must count against the claim.
CONTROLS = [
    Planted("Networks without decay keep depth more linear", {
        (DECAY, probe("score", "linear")): (0.4, 0.6),
    }),
    Planted("The network itself tells depth better with decay than without", {
        (NO_DECAY, readout("score")): (0.4, 0.6),
    }),
    Planted("Training makes depth readable to the linear probe", {
        (DECAY, probe("untrained", "linear")): (0.4, 0.6),
    }),
    Planted("The response along v₁ says more of depth than that along a random direction", {
        (DECAY, response("score", "random")): (0.4, 0.6),
    }),
    Planted("The response along v₁ is one wave over depth", {
        (DECAY, response("elevation", "random")): (0.2, 0.6),
    }),
    Planted("With decay the last layer forgets which bracket was read", {
        (NO_DECAY, probe_curve(COMPOSITION, "score", SIGN)): (0.7, 0.4),
    }),
    Planted("With decay classes of depth lie closer together", {
        (NO_DECAY, probe_curve(COMPOSITION, "class_distance")): (5.0, 0.5),
    }),
]  # fmt: skip


def found(curves, outcome):
    rows = planted_arms(BASE, curves, outcome, 5100)
    return statuses(reencoded_claims(EdgeGroup(DYCK, probe_regime("demo"), rows)))


@pytest.mark.parametrize("case", [*CLAIMS, *CONTROLS], ids=lambda case: case.claim)
def test_claims_hold_and_fail_as_planted(case):
    for outcome, status in OUTCOMES:
        assert found(case.curves, outcome)[case.claim] == status


def test_no_claim_is_left_out():
    assert set(found({}, HOLDS)) == {case.claim for case in CLAIMS}
