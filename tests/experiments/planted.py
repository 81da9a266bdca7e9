"""Ledgers with planted truth: runs that generalise at the step that a rule says."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from spectraledge.experiments.base import Scale
from spectraledge.experiments.study import GENERALISED, Known, Study
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.rows import Row
from spectraledge.store import canonical_json, signature
from spectraledge.training import RunSpec

Rule = Callable[[RunSpec], float | None]
SPECTRUM = ("frobenius_norm", "stable_rank", "entropy_rank")


def planted_row(spec: RunSpec, step: float | None, ends: Mapping[str, float] | None = None) -> Row:
    """A run whose validation accuracy jumps to 1 at the first record from `step` on, or never.

    `ends` gives the last values of outputs of the weight spectrum, which start at 8 and move
    there in a straight line.
    """
    steps = np.arange(0, spec.steps + 1, spec.record_every)
    measured = steps[::2]
    curves = {
        "step": steps,
        "train_accuracy": np.where(steps > 0, 1.0, 0.1),
        "validation_accuracy": np.where(steps >= (np.inf if step is None else step), 1.0, 0.3),
        "lost_at": np.full(steps.size, -1),
        "weight_spectrum/step": measured,
    }
    for output in SPECTRUM:
        end = (ends or {}).get(output, 8.0)
        curves[f"weight_spectrum/{output}"] = 8 + (end - 8) * measured / spec.steps
    return Row(signature(spec), "planted", canonical_json(spec), "done", curves, seconds=1.0)


def planted_ledger(study: Study, scale: Scale, rule: Rule) -> Ledger:
    """All that a study wants, round by round, as a sweep would find it."""
    return planted_rounds(study.groundwork(scale), lambda known: study.wanted(known, scale), rule)


def planted_rounds(
    groundwork: Iterable[RunSpec],
    wanted: Callable[[Known], Iterable[RunSpec]],
    rule: Rule,
    ends: Callable[[RunSpec], Mapping[str, float]] = lambda spec: {},
) -> Ledger:
    """The same for any groundwork and wish, at any size."""
    ledger = Ledger(planted_row(spec, rule(spec)) for spec in dict.fromkeys(groundwork))
    while True:
        known = Known(ledger, GENERALISED)
        missing = [spec for spec in dict.fromkeys(wanted(known)) if known.row(spec) is None]
        if not missing:
            return ledger
        for spec in missing:
            ledger.add(planted_row(spec, rule(spec), ends(spec)))
