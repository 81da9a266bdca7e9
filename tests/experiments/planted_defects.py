"""Rows with planted defects: a bracket and gradients over steps, and when a run generalises."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from spectraledge.experiments.execution_subspace.defect_records import EXACT_NAME, PUBLISHED_NAME
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.rows import Row
from spectraledge.store import canonical_json, signature
from spectraledge.training import RunSpec

LAST = 6000


@dataclass(frozen=True)
class Truth:
    """What a run does.

    Args:
        grok: Step at which held-out accuracy jumps to 1; None for never.
        memorised: Step at which training accuracy does.
        onset: Step from which the bracket rises 30-fold, within 400 steps at most.
        after: The bracket after `grok` over what it was before.
        vanished: The gradient after `grok`.
        rounding: What rounding adds to the bracket of the published form.
        last: Last step, if the run is that long.
    """

    grok: float | None
    memorised: float = 400
    onset: float | None = 1800
    after: float = 1e-3
    vanished: float = 0.01
    rounding: float = 1.0
    last: int = LAST


Rule = Callable[[RunSpec], Truth]


def planted_defect_row(spec: RunSpec, truth: Truth) -> Row:
    """A run of that truth; brackets scatter by 3 % from record to record."""
    steps = np.arange(0, min(spec.steps, truth.last) + 1, spec.record_every)
    noise = np.exp(0.03 * np.random.default_rng([spec.seed, 7]).normal(size=steps.size))
    grown = steps >= (np.inf if truth.grok is None else truth.grok)
    risen = steps >= (np.inf if truth.onset is None else truth.onset)
    bracket = np.where(steps < truth.memorised, 0.1, 4.0) * np.where(risen, 30.0, 1.0) * noise
    bracket = np.where(grown, bracket * truth.after, bracket)
    gradient = np.where(grown, truth.vanished, np.where(steps < truth.memorised, 0.65, 1.5))
    floor = np.full(steps.size, 1e-6)
    parts = {
        "defect": bracket / gradient**2,
        "bracket_norm": bracket,
        "gradient_norm": gradient,
        "rounding_floor": floor,
    }
    rounding = truth.rounding * np.where(grown, gradient**2 * 2500, 1.0)
    published = {**parts, "defect": np.hypot(bracket, rounding) / gradient**2}
    curves = {
        "step": steps,
        "lost_at": np.full(steps.size, -1),
        "train_accuracy": np.where(steps >= truth.memorised, 1.0, 0.3),
        "validation_accuracy": np.where(grown, 1.0, 0.05),
    }
    for prefix, values in ((EXACT_NAME, parts), (PUBLISHED_NAME, published)):
        curves[f"{prefix}/step"] = steps
        curves |= {f"{prefix}/{name}": curve for name, curve in values.items()}
    return Row(signature(spec), "planted", canonical_json(spec), "done", curves, seconds=1.0)


def planted_defects(specs: Iterable[RunSpec], rule: Rule) -> Ledger:
    """Rows of all of them."""
    return Ledger(planted_defect_row(spec, rule(spec)) for spec in specs)
