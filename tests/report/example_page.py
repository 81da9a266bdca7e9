"""A made-up but realistic report: five arms, three seeds, both splits, one diverged run."""

import numpy as np

from spectraledge.report import (
    Axes,
    Curve,
    Figure,
    Outcome,
    Page,
    Panel,
    Reference,
    Section,
    Spectra,
    Table,
    Verdict,
    arm_colours,
    curves,
    dots_with_intervals,
    spectra_slider,
)

ARMS = ("L2 as published", "L2 matched", "LRD as published", "LRD proximal", "No decay")
COLOURS = arm_colours(ARMS)
SEEDS = (0, 1, 2)
STEPS = np.arange(0, 4001, 200)
SPLITS = ("ordered", "unordered")
# Step at which each arm generalises on the ordered split; the other split takes longer.
ONSETS = {
    "L2 as published": 2300.0,
    "L2 matched": 1900.0,
    "LRD as published": 1100.0,
    "LRD proximal": 1300.0,
    "No decay": 9000.0,
}
SLOWER = {"ordered": 1.0, "unordered": 1.45}


def example_page() -> Page:
    """The page that the browser test opens."""
    specs = [
        {"decay": {"arm": arm, "strength": 0.1}, "task": {"p": 113, "split": split}, "seed": seed}
        for arm in ARMS
        for split in SPLITS
        for seed in SEEDS
    ]
    return Page(
        title="Low-rank decay: does rank collapse come before generalisation?",
        summary=(
            "Scale-invariant transformers learn addition modulo 113 from half of all pairs, under "
            "five decays, three seeds each.\n\nAll numbers on this page are made up for a test."
        ),
        verdicts=_verdicts(),
        sections=[_learning(), _collapse(), _onset()],
        environment={"torch": "2.13.0", "device": "cpu", "threads": "1", "seconds": "5213"},
        specs=specs,
        links={
            f"{arm}, {split}, seed {seed}": f"../runs/{slug}-{split}-{seed}/"
            for arm, slug in ((arm, arm.lower().replace(" ", "-")) for arm in ARMS)
            for split in SPLITS
            for seed in SEEDS
        },
    )


def example_panels() -> list[Panel]:
    """Three small multiples, as the README would show them."""
    axes = Axes(y_label="validation accuracy", y_range=(-0.03, 1.03))
    ranks = Axes(y_label="stable rank of Q and K", log_y=True)
    reference = Reference(1000, "paper: 1000")
    return [
        Panel("Ordered split", accuracy("ordered"), axes, [reference]),
        Panel("Unordered split", accuracy("unordered"), axes),
        Panel("Rank, unordered split", stable_rank("unordered"), ranks),
    ]


def accuracy(split: str) -> list[Curve]:
    """Validation accuracy; the last seed of one arm diverges at step 1400."""
    rng = np.random.default_rng(len(split))
    found = []
    for arm in ARMS:
        onsets = ONSETS[arm] * SLOWER[split] * rng.uniform(0.85, 1.15, size=(3, 1))
        values = 0.01 + 0.99 / (1 + np.exp(-(STEPS - onsets) / 160))
        if arm == "LRD as published":
            values[2, STEPS > 1400] = np.nan
        found.append(_with_band(arm, values))
    return found


def stable_rank(split: str) -> list[Curve]:
    """Stable rank, falling from 40 to about 2 under low-rank decay and less under the others."""
    rng = np.random.default_rng(7 + len(split))
    floors = dict(zip(ARMS, (9.0, 6.0, 1.6, 2.1, 28.0)))
    return [
        _with_band(
            arm,
            floors[arm]
            + (40 - floors[arm])
            * np.exp(-STEPS / (ONSETS[arm] * 0.5 * rng.uniform(0.8, 1.2, size=(3, 1)))),
        )
        for arm in ARMS
    ]


def spectra() -> list[Spectra]:
    """128 singular values that decay faster with time; exact zeros under the proximal step."""
    index = np.arange(128)
    found = []
    for arm in ARMS:
        rate = 0.012 + 0.25 * STEPS[:, None] / 4000 * 1500 / ONSETS[arm]
        values = 3.0 * np.exp(-rate * index) * (1 - index / 140)
        if arm == "LRD proximal":
            values = np.maximum(values - 3e-3 * STEPS[:, None] / 4000, 0)
        found.append(Spectra(arm, STEPS, values))
    return found


def outcomes(split: str) -> list[Outcome]:
    """Step of generalisation per run; runs that never got there are censored at the last step."""
    found = []
    for arm, curve in zip(ARMS, accuracy(split)):
        above = curve.values > 0.9
        reached = above.any(axis=1)
        values = np.where(reached, STEPS[above.argmax(axis=1)], STEPS[-1]).astype(float)
        diverged = np.isnan(curve.values).any(axis=1) & ~reached
        values[diverged] = np.nan
        censored = ~reached & ~diverged
        centre = None if censored.any() else float(np.nanmedian(values))
        low, high = float(np.nanmin(values)) - 150, float(np.nanmax(values)) + 150
        found.append(
            Outcome(arm, values, censored, centre, low, np.inf if censored.any() else high)
        )
    return found


def _with_band(arm: str, values: np.ndarray) -> Curve:
    centre = np.median(values, axis=0)
    spread = 2.5 * np.std(values, axis=0)
    return Curve(arm, STEPS, values, centre, centre - spread, centre + spread, seeds=SEEDS)


def _verdicts() -> list[Verdict]:
    return [
        Verdict(
            "Low-rank decay generalises earlier than L2 as published",
            "700 against 2300 steps",
            "1100 [950, 1260] against 2300 [2010, 2590] steps",
            "holds",
            "The intervals of the two arms do not overlap on either split.",
        ),
        Verdict(
            "Low-rank decay has an advantage over L2 of matched strength",
            "not compared",
            "difference 310 [-240, 860] steps",
            "undecided",
            "Three seeds leave an interval that contains zero.",
        ),
        Verdict(
            "The rank collapses to 1 to 3 before validation accuracy rises",
            "stable rank 1 to 3",
            "stable rank 8.4 [6.9, 10.1] at the onset",
            "fails",
            "The rank is still falling when accuracy passes 50 %.",
        ),
    ]


def _learning() -> Section:
    axes = Axes(y_label="validation accuracy", y_range=(-0.03, 1.03))
    figures: list[Figure | Table] = [
        curves(
            accuracy(split),
            title=f"Validation accuracy, {split} split",
            caption="Thick: median of three seeds. Band: 95 % interval. Cross: diverged run.",
            colours=COLOURS,
            axes=axes,
            references=[Reference(1000, "paper: LRD")] if split == "ordered" else (),
            half=True,
        )
        for split in SPLITS
    ]
    rows = [(arm, 3, ONSETS[arm], 0.9987 if arm != "No decay" else None) for arm in ARMS]
    columns = ("arm", "runs", "median step of generalisation", "final accuracy")
    figures.append(Table(columns, rows, "Outcome per arm on the ordered split."))
    text = "Every arm fits the training pairs by step 400. What follows is the slow part."
    return Section("Memorisation first, generalisation later", text, figures)


def _collapse() -> Section:
    return Section(
        "Rank collapse",
        "The stable rank and the whole spectrum of the query and key matrices.",
        [
            curves(
                stable_rank("unordered"),
                title="Stable rank of query and key matrices",
                caption="Mean over the matrices of a run; logarithmic axis.",
                colours=COLOURS,
                axes=Axes(y_label="stable rank", log_y=True),
                references=[Reference(3, "paper: at most 3", "y")],
            ),
            spectra_slider(
                spectra(),
                title="Singular values of layer0.attention.query, seed 0",
                caption="Over the largest one. Values below 1e-6 are drawn at 1e-6.",
                colours=COLOURS,
            ),
        ],
    )


def _onset() -> Section:
    figure = dots_with_intervals(
        outcomes("unordered"),
        title="Step at which validation accuracy passes 90 %, unordered split",
        caption="Triangles: not reached by the end of the run. Bars: 95 % interval.",
        colours=COLOURS,
        label="step",
    )
    return Section("When each run generalises", items=[figure])
