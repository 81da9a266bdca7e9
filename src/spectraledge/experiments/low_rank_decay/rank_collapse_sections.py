"""Sections of the rank-collapse page that look inside the matrices and the leak."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from spectraledge.experiments.base import Results
from spectraledge.experiments.gather import band, metric, reading
from spectraledge.experiments.low_rank_decay.groups import of_split, splits_of
from spectraledge.experiments.low_rank_decay.rank_collapse_claims import GEOMETRY, SPECTRUM
from spectraledge.instruments import ScaleInvariance
from spectraledge.report import (
    Axes,
    Curve,
    Figure,
    Section,
    Spectra,
    Table,
    curves,
    spectra_slider,
)

__all__ = [
    "BAND",
    "accuracy_curves",
    "geometry_section",
    "invariance_section",
    "mean_over_matrices",
    "mirror_section",
    "spectra_section",
    "split_words",
]

BAND = (
    "Thin lines are seeds, the thick line is their mean (on log axes their geometric mean), the "
    "band its 95 % t interval from three seeds on."
)
OWN_DECAY = {"weight_decay": 1, "low_rank": 2}
Array = NDArray[Any]


def split_words(split: str) -> str:
    """What a split is called on the page."""
    return {"unordered": "mirror-safe split", "ordered": "published split"}[split]


def accuracy_curves(results: Results, split: str, name: str) -> list[Curve]:
    """One accuracy of every arm on one split."""
    return [
        band(arm, runs, *metric(runs, name), limits=(0.0, 1.0))
        for arm, runs in of_split(results, split).items()
    ]


def mean_over_matrices(values: Array) -> Array:
    """``(T, matrices)`` to ``(T,)``."""
    return values.mean(axis=1)


def mirror_section(results: Results, colours: dict[str, str]) -> Section:
    """Validation pairs with and without a trained mirror."""
    items = [
        curves(
            accuracy_curves(results, "ordered", f"validation_accuracy_{subset}"),
            title=f"Validation pairs whose mirror is {words}",
            caption=BAND,
            colours=colours,
            axes=Axes(y_label="accuracy", y_range=(-0.03, 1.03)),
            half=True,
        )
        for subset, words in (("mirror", "trained"), ("non_mirror", "not trained"))
    ]
    return Section(
        "The plateau is the commutativity leak",
        "On the published split the validation set falls into two halves that behave nothing "
        "alike. A plateau near one half is the share of pairs whose mirror was trained.",
        items,
    )


def spectra_section(results: Results, colours: dict[str, str]) -> Section:
    """Singular values of one matrix through training."""
    split = splits_of(results)[0]
    spectra = []
    for arm, runs in of_split(results, split).items():
        steps, arrays = runs[0].reading(SPECTRUM)
        spectra.append(Spectra(arm, steps, arrays["singular_values"][:, 0]))
    figure = spectra_slider(
        spectra,
        title="Singular values of the first layer's query matrix",
        colours=colours,
        caption=f"One seed per arm, {split_words(split)}, relative to the largest value. "
        "Move the slider through training.",
    )
    return Section("Spectra", "", [figure])


def geometry_section(results: Results, colours: dict[str, str]) -> Section:
    """What the decays do to length, direction and rank."""
    split = splits_of(results)[0]
    arms = of_split(results, split)

    def draw(output: str, title: str, label: str, log: bool = False) -> Figure:
        lines = [
            band(arm, runs, *reading(runs, GEOMETRY, output, mean_over_matrices), log=log)
            for arm, runs in arms.items()
        ]
        axes = Axes(y_label=label, log_y=log)
        return curves(lines, title=title, caption=BAND, colours=colours, axes=axes, half=True)

    own = [
        band(arm, runs, *reading(runs, GEOMETRY, "tangential_fraction", _own_decay(arm)),
             limits=(0.0, 1.0))
        for arm, runs in arms.items() if arm != "no decay"
    ]  # fmt: skip
    items = [
        curves(
            own,
            title="Tangential share of each decay",
            colours=colours,
            half=True,
            caption=f"0: the decay only shrinks the matrix. 1: it only turns it. {BAND}",
            axes=Axes(y_label="tangential fraction", y_range=(-0.03, 1.03)),
        ),
        draw("angular_step", "How far Q and K turn", "radians per step (chord)", log=True),
        draw("adam_effective_rate", "Effective learning rate", "lr / rms(W)", log=True),
        draw("overshoot_published", "Overshoot of a published step here", "overshoot / τ"),
        draw("overshoot_polar", "Overshoot of an exact polar step here", "overshoot / τ"),
        draw("fan_fraction", "Open directions (fan)", "(1−r/m)(1−r/n), r = #σ > 3τ"),
        draw("regrow_margin", "Regrow margin", "σ₁(base step in null block) / τ", log=True),
    ]
    text = (
        "Decays act on the length of a matrix, which a scale-invariant layer ignores, or on its "
        "direction. Shrinking is not harmless: the same Adam step turns a shorter matrix further, "
        "so every decay also raises the effective learning rate. "
        f"{split_words(split).capitalize()}."
    )
    return Section("Geometry of the decays", text, items)


def _own_decay(arm: str) -> Any:
    part = OWN_DECAY["low_rank" if arm.startswith("LRD") else "weight_decay"]
    return lambda values: values[:, part].mean(axis=1)


def invariance_section(results: Results) -> Section:
    """The finite-scale test of every parameter."""
    run = next(iter(results.values()))[0]
    _, arrays = run.reading(ScaleInvariance())
    model = run.spec.model.build(
        vocabulary=run.spec.task.vocabulary,
        length=run.spec.task.length,
        classes=run.spec.task.classes,
        seed=0,
    )
    names = [name for name, _ in model.named_parameters()]
    rows = [
        (name, f"{deviation:.1e}", "yes" if invariant == 1 else "no", f"{cosine:.1e}")
        for name, deviation, invariant, cosine in zip(
            names, arrays["deviation"][0], arrays["invariant"][0], arrays["radial_cosine"][0]
        )
    ]
    table = Table(
        ("parameter", "change of logits", "scale invariant", "⟨∇L, W⟩ cosine"),
        rows,
        "Largest relative change of the logits when the parameter is halved or doubled, at the "
        "initialisation.",
    )
    return Section("Which parameters are scale invariant", "", [table])
