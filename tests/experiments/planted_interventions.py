"""Ledgers of interventions with planted truth: when each arm groks, and whether it memorises."""

from collections.abc import Callable

import numpy as np

from spectraledge.experiments.execution_subspace.interventions import (
    HORIZON,
    UNTIL_GROK_STOP,
    Chains,
    Protocol,
    baselines,
    intervened,
)
from spectraledge.experiments.study import Known
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.rows import Row
from spectraledge.store import canonical_json, signature
from spectraledge.training import RunSpec

# Step of grokking (None for never) and last train accuracy, of an arm and a seed.
Rule = Callable[[str, int], tuple[float | None, float]]


def planted_row(spec: RunSpec, step: float | None, train: float, norm: float = 1.0) -> Row:
    """A run that has three records of accuracy 1 on held-out pairs by the first from `step` on."""
    steps = np.arange(0, HORIZON + 1, 100)
    measured = np.arange(0, HORIZON + 1, 500)
    first = np.inf if step is None else step - 200
    curves = {
        "step": steps,
        "train_accuracy": np.where(steps < 600, 1.0, train),
        "validation_accuracy": np.where(steps >= first, 1.0, 0.02),
        "lost_at": np.full(steps.size, -1),
        "commutator_defect/step": measured,
        "commutator_defect/gradient_norm": np.full(measured.size, norm),
        "commutator_defect/bracket_norm": np.full(measured.size, 10.0),
        "weight_spectrum/step": measured,
        "weight_spectrum/frobenius_norm": np.linspace(9, 3, measured.size),
    }
    return Row(signature(spec), "planted", canonical_json(spec), "done", curves, seconds=1.0)


def planted_interventions(protocol: Protocol, chains: Chains, rule: Rule) -> Known:
    """The ordinary runs, then every arm on the seeds that grokked."""
    ledger = Ledger()
    for runs in baselines(protocol).values():
        for spec in runs:
            ledger.add(planted_row(spec, *rule("no intervention", spec.seed)))
    known = Known(ledger, UNTIL_GROK_STOP)
    for (_, arm), runs in intervened(known, protocol, chains).items():
        for spec in runs:
            ledger.add(planted_row(spec, *rule(arm, spec.seed)))
    return known


def scatter(arm: str, seed: int, size: float) -> float:
    """The same for an arm and a seed, uniform in ±size."""
    return np.random.default_rng([seed, *map(ord, arm)]).uniform(-size, size)
