"""Write the committed tables and pictures from stored runs: ``python results/build.py [ROOT]``."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from spectraledge.experiments.base import Experiment, Results, all_experiments
from spectraledge.experiments.gather import band, metric
from spectraledge.experiments.low_rank_decay.groups import finished, of_split
from spectraledge.experiments.low_rank_decay.rank_collapse_claims import SPECTRUM
from spectraledge.experiments.low_rank_decay.rank_collapse_page import rank_curves
from spectraledge.experiments.run import stored_results
from spectraledge.report import Axes, Panel, arm_colours, write_svg

HERE = Path(__file__).parent
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


def main(root: Path) -> None:
    """Write everything below ``results/`` for which there are runs."""
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
