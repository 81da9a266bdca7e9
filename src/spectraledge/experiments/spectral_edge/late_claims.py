"""What becomes of SCAN's edge after it has turned: published numbers and claims."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from math import isfinite, nan

import numpy as np

from spectraledge.experiments.gather import decide
from spectraledge.experiments.row_values import mean_of, share_words, short, step_of, value_at
from spectraledge.experiments.seed_intervals import geometric_interval
from spectraledge.experiments.spectral_edge.edge_regimes import DECAY
from spectraledge.experiments.spectral_edge.edge_runs import (
    ABLATION,
    EDGE,
    PUBLISHED_CURVES,
    RESPONSE,
    SPLIT,
    EdgeGroup,
    finite_curve,
)
from spectraledge.experiments.spectral_edge.edge_study import NOT_RUN, over_seeds
from spectraledge.experiments.spectral_edge.flat_claims import late_removal_claims
from spectraledge.experiments.spectral_edge.flip_claims import (
    first_flip_with_window,
    flips,
    window_end,
)
from spectraledge.experiments.spectral_edge.late_scan import FOUR, late_curve
from spectraledge.experiments.spectral_edge.published_numbers import (
    Kind,
    PublishedNumber,
    Read,
    exactly,
    whether,
)
from spectraledge.lab.rows import Row
from spectraledge.report import Verdict

__all__ = ["GAP", "LATE_NUMBERS", "SHARE", "late_claims"]

SHARE = late_curve(SPLIT, "energy_share", "gradient", "v1")
GAP = late_curve(EDGE, "gap23")


# Windows after the flip that a share of them needs.
FEWEST = 3


def _sign(name: str, step: float) -> Read:
    read = exactly(name, step)
    return lambda row: float(np.sign(read(row)))


def _large(name: str, step: float) -> Read:
    return whether(exactly(name, step), lambda value: value > 1e7)


def _numbers() -> Iterator[PublishedNumber]:
    """Published numbers of steps after 3000, each read at its own step or not at all."""
    removed, random = (late_curve(ABLATION, "accuracy_change", name) for name in ("edge", "random"))
    ratio, response = (
        late_curve(ABLATION, "published_ratio"),
        late_curve(RESPONSE, "published_score", "v1"),
    )
    curvature = late_curve(PUBLISHED_CURVES, "curvature", "v1")
    signs = ((k, late_curve(FOUR, "alignment", f"v{k}")) for k in (1, 3, 4))
    lines: list[tuple[str, Callable[[float], Read], Mapping[int, float], Kind]] = [
        ("Gradient along v₁", partial(exactly, SHARE), {5000: 0.002, 10_000: 0.021}, "fraction"),
        *(
            (f"Sign of the alignment of gradient and decay along v{k}", partial(_sign, name),
             {5000: 1 if k == 1 else -1}, "plain")
            for k, name in signs
        ),
        ("σ₂² − σ₃²", partial(exactly, GAP), {5000: 1.9, 10_000: 0.6}, "positive"),
        ("Accuracy without the edge", partial(exactly, removed), {4500: -0.49}, "plain"),
        ("Accuracy without two random directions", partial(exactly, random), {4500: 0.0}, "plain"),
        ("The edge costs over 10⁷ times that", partial(_large, ratio), {4500: 1}, "share"),
        ("Curvature along v₁", partial(exactly, curvature), {4500: 0.001}, "plain"),
        ("Functional R² of v₁, decoder", partial(exactly, response), {5000: 0.12, 10_000: 0.04},
         "plain"),
    ]  # fmt: skip
    for quantity, read, values, kind in lines:
        for step, value in values.items():
            yield PublishedNumber(f"{quantity}, step {step}", value, read(step), DECAY, kind=kind)


LATE_NUMBERS = tuple(_numbers())


def late_claims(group: EdgeGroup) -> list[Verdict]:
    """What the paper says of the time after the flip, and of the flip through longer windows."""
    return [
        first_flip_with_window(group), _stays(group), _closes(group), *late_removal_claims(group),
    ]  # fmt: skip


def _stays(group: EdgeGroup) -> Verdict:
    claim = f"{group.name}: Once turned, the edge stays with decay"
    paper = "the gradient has 0.2 % at step 5000 and 2.1 % at 10,000 (one seed)"
    rule = (
        "Share of the windows after a run's first flip, to its end, in which the gradient's "
        f"share along v₁ is below one half, W = 5; of runs with {FEWEST} such windows at least. "
        "Holds if the 95 % interval over seeds is above 0.9, fails if it is below: decay that "
        "drives most windows and not all does not stay."
    )
    rows = group.rows[DECAY]
    shares = [_driven(row, flip) for row, flip in zip(rows.values(), flips(group, SPLIT))]
    mean = mean_of(shares, 0.0, 1.0)
    if mean is None:
        words = NOT_RUN if not rows else f"no run has {FEWEST} windows after its first flip"
        return Verdict(claim, paper, words, "undecided", rule)
    last = mean_of((float(finite_curve(row, SHARE)[1][-1]) for row in rows.values()), 0.0, 1.0)
    words = (
        f"{share_words(mean)} of the windows; the gradient's share in the last one "
        f"{short(last)}, at step {_ends(rows)}"
    )
    return Verdict(claim, paper, words, decide(mean, above=0.9), rule)


def _driven(row: Row, flip: float) -> float:
    steps, values = finite_curve(row, SHARE)
    after = values[steps > flip] if isfinite(flip) else values[:0]
    return float(np.mean(after < 0.5)) if after.size >= FEWEST else nan


def _closes(group: EdgeGroup) -> Verdict:
    start = window_end(group, SPLIT)
    rows = group.rows[DECAY]
    ratio = geometric_interval(
        (seed, value_at(row, GAP, np.inf) / value_at(row, GAP, start))
        for seed, row in rows.items()
        if step_of(row, GAP, np.inf) != start
    )
    return over_seeds(
        f"{group.name}: After the flip the gap goes on closing",
        "1.9 at step 5000, 0.6 at 10,000 (one seed)",
        ratio,
        f"σ₂² − σ₃² at the last record over that at step {start}, geometric mean by seed.",
        words=f"{short(ratio)} times, up to step {_ends(rows)}",
        below=1.0,
    )


def _ends(rows: Mapping[int, Row]) -> str:
    return ", ".join(str(end) for end in sorted({row.steps_taken for row in rows.values()}))
