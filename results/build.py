"""Write the committed tables and pictures: ``python results/build.py [ROOT]``.

Experiments are read from the runs stored under ROOT, and left as they are where there are none;
studies are read from ``results/ledger.parquet`` and need nothing else.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spectraledge.experiments.base import Experiment, Results, Scale, all_experiments
from spectraledge.experiments.gather import band, metric
from spectraledge.experiments.low_rank_decay.contenders import contenders, ladder_runs
from spectraledge.experiments.low_rank_decay.groups import finished, of_split
from spectraledge.experiments.low_rank_decay.norm_or_rank import paired_runs
from spectraledge.experiments.low_rank_decay.outcomes import attempts_of, times_of
from spectraledge.experiments.low_rank_decay.rank_collapse_claims import SPECTRUM
from spectraledge.experiments.low_rank_decay.rank_collapse_page import rank_curves
from spectraledge.experiments.low_rank_decay.sizes import REDUCED
from spectraledge.experiments.run import stored_results
from spectraledge.experiments.spectral_edge.number_tables import number_tables
from spectraledge.experiments.spectral_edge.published_numbers import COLUMNS
from spectraledge.experiments.study import GENERALISED, Known, Study, all_studies
from spectraledge.experiments.study_run import rows_of
from spectraledge.experiments.study_sections import survival_curve
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.rows import Row
from spectraledge.report import Axes, Curve, Panel, arm_colours, write_svg
from spectraledge.series import logistic_boundary

HERE = Path(__file__).parent
# Arms of the study's picture.
DRAWN = (
    "no decay", "L2", "LRD", "LRD, matched", "norm clamp", "LRD on sphere", "Q and K frozen",
)  # fmt: skip
RANKS = ("stable_rank", "entropy_rank", "threshold_rank", "frobenius_norm")


def table(results: Results) -> pa.Table:
    """One row per run and recorded step: accuracies, and means over Q and K of ranks and norm."""
    rows = []
    for arm, runs in results.items():
        for run in runs:
            steps, spectrum = run.reading(SPECTRUM)
            metrics = {n: v for n, v in run.curves.items() if n not in ("step", "lr", "lost_at")}
            ranks = {n: spectrum[n].mean(axis=1) for n in RANKS}
            for i, step in enumerate(steps):
                numbers = {n: float(v[i]) for n, v in {**metrics, **ranks}.items()}
                rows.append(
                    {
                        "arm": arm, "split": run.spec.task.split, "seed": run.spec.seed,
                        "signature": run.folder.signature, "step": int(step), **numbers,
                    }
                )  # fmt: skip
    return pa.Table.from_pylist(rows)


def picture(results: Results, path: Path) -> None:
    """Accuracy on both splits and stable rank, by arm."""
    colours = arm_colours(list(results))
    accuracy = Axes(y_label="validation accuracy", y_range=(-0.03, 1.03))
    panels = []
    for split, title in (("ordered", "Published split"), ("unordered", "Mirror-safe split")):
        lines = [
            band(arm, runs, *metric(runs, "validation_accuracy"), limits=(0.0, 1.0))
            for arm, runs in of_split(results, split).items()
        ]
        panels.append(Panel(title, lines, accuracy))
    ranks = rank_curves(results, "ordered", "stable_rank")
    axes = Axes(y_label="mean stable rank of Q and K", log_y=True)
    panels.append(Panel("Rank collapse (published split)", ranks, axes))
    write_svg(panels, path, colours=colours)


def verdicts_of(experiment: Experiment, results: Results) -> dict[str, object]:
    """Verdicts of an experiment, with what was run and where."""
    origin = next(iter(results.values()))[0].folder.read_origin()
    return {
        "experiment": experiment.name,
        "runs": {arm: len(runs) for arm, runs in results.items()},
        "steps": {arm: runs[0].spec.steps for arm, runs in results.items()},
        "seconds": {
            arm: round(sum(r.folder.read_origin().seconds for r in runs))
            for arm, runs in results.items()
        },
        "verdicts": [asdict(v) for v in experiment.page(results, "full").verdicts],
        "origin": {k: str(v) for k, v in asdict(origin).items()},
    }


# Where the verdicts of a scale go, beside the name of the study.
SCALES: dict[Scale, str] = {"demo": "", "full": "_published"}


def known_rows(study: Study, ledger: Ledger, scale: Scale) -> dict[str, Row]:
    """Rows of a study by signature."""
    return {row.signature: row for row in rows_of(study, ledger, scale).values() if row}


def study_of(name: str, study: Study, ledger: Ledger, scale: Scale) -> dict[str, object] | None:
    """Verdicts of a study at a scale, with what was run; None if nothing was."""
    rows = known_rows(study, ledger, scale)
    # Scales may share runs; a page of those alone would say nothing new.
    if not rows or (scale == "full" and rows.keys() <= known_rows(study, ledger, "demo").keys()):
        return None
    return {
        "study": name,
        "scale": scale,
        "runs": len(rows),
        "seconds": round(sum(row.seconds for row in rows.values())),
        "verdicts": [asdict(v) for v in study.page(Known(ledger, study.until), scale).verdicts],
    }


def study_picture(ledger: Ledger, path: Path) -> None:
    """Success against train fraction, and time to generalise under the controls."""
    known = Known(ledger, GENERALISED)
    panels = [
        Panel(
            "Runs that generalise within 4000 steps",
            list(_success(known)),
            Axes(x_label="train fraction", y_label="fitted share", y_range=(-0.03, 1.03)),
        ),
        Panel(
            "Controls at fraction 0.7",
            list(_controls(known)),
            Axes(y_label="share that has generalised", y_range=(-0.03, 1.03)),
        ),
    ]
    arms = list(dict.fromkeys(c.arm for panel in panels for c in panel.series))
    write_svg(panels, path, colours=arm_colours(arms))


def _success(known: Known) -> Iterator[Curve]:
    for contender in contenders(known, REDUCED):
        if contender.label not in DRAWN:
            continue
        tried = attempts_of(known, ladder_runs(known, contender, REDUCED), REDUCED.budgets[-1])
        if tried is None:
            continue
        found = logistic_boundary(tried)
        x = np.linspace(min(tried.fractions), max(tried.fractions), 101)
        share = 1 / (1 + np.exp(-found.slope * (x - found.interval.centre)))
        yield Curve(contender.label, x, share[None])


def _controls(known: Known) -> Iterator[Curve]:
    for arm, runs in paired_runs(known, REDUCED).items():
        rows = [row for _, row in known.rows(runs)]
        if arm in DRAWN and rows:
            budget = REDUCED.budgets[-1]
            # Six overlapping bands hide the lines; the report has them.
            curve = survival_curve(arm, times_of(rows, budget), budget)
            yield replace(curve, lower=None, upper=None)


def numbers(ledger: Ledger) -> None:
    """Published numbers of the spectral edge beside ours."""
    tables = {"columns": COLUMNS, "tables": number_tables(Known(ledger, None))}
    text = json.dumps(tables, indent=2, ensure_ascii=False) + "\n"
    (HERE / "published_numbers.json").write_text(text)


def studies() -> None:
    """Verdicts of all studies from the committed ledger, and the picture of the README."""
    ledger = Ledger.read(HERE / "ledger.parquet")
    numbers(ledger)
    study_picture(ledger, HERE / "low_rank_decay_study.svg")
    for name, study in all_studies().items():
        for scale, suffix in SCALES.items():
            found = study_of(name, study, ledger, scale)
            if found is not None:
                text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
                (HERE / f"{name.rpartition('/')[2]}{suffix}.json").write_text(text)


def main(root: Path) -> None:
    """Write everything below ``results/`` that can be written."""
    studies()
    for name, experiment in all_experiments().items():
        results = finished(stored_results(experiment, "full", root))
        if set(results) != set(experiment.arms("full")):
            print(f"{name}: not all arms are stored under {root}, left as it is")
            continue
        text = json.dumps(verdicts_of(experiment, results), indent=2, ensure_ascii=False) + "\n"
        (HERE / f"{name.rpartition('/')[2]}.json").write_text(text)
        if name.endswith("rank_collapse"):
            pq.write_table(table(results), HERE / "rank_collapse.parquet", compression="zstd")
            picture(results, HERE / "rank_collapse.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs"))
