"""A sweep on one worker to ten thousand: ``python -m benchmarks.cluster [--measure] [--write]``.

Measures what the parts of a sweep cost on this machine (``--measure``, a minute), simulates sweeps
with these costs, and prints the tables of ``docs/scaling.md`` or writes them there (``--write``).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.cluster_costs import FILE, Costs, measure, read, write
from benchmarks.cluster_model import OBJECTS, SHARED, Engine, Outcome, Store, draw_jobs
from benchmarks.cluster_simulation import simulate

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "scaling.md"
BEGIN, END = "<!-- simulated: begin -->", "<!-- simulated: end -->"
WORKERS = (1, 2, 8, 32, 128, 512, 2048, 10_000)
REMEDIED = (32, 128, 512, 2048, 10_000)
ALONE = 512
JOBS_A_WORKER = 10
LOSSES = 0.01  # of each worker an hour
LONGER = 25.0  # a run at the published size, 2500 steps in bfloat16, over one of the reduced model
WORKERS_A_DRIVER = 256

# Each on top of those before.
REMEDIES: Sequence[tuple[str, dict[str, object]]] = (
    ("as it is", {}),
    ("next job given out before rows are made", {"gives_out": "before rows"}),
    ("files of a job side by side", {"side_by_side": 12}),
    ("root never listed", {"listing": False}),
    ("rows made by the workers", {"rows": "worker"}),
    ("ledger appended to", {"ledger": "appended"}),
    ("ledgers merged at the end", {"ledger": "merged"}),
    (f"a driver for {WORKERS_A_DRIVER} workers", {"drivers": 0}),
    ("a run as one object", {"objects": "run"}),
    ("a job as one object", {"objects": "job"}),
)


def engine_of(changes: dict[str, object], workers: int) -> Engine:
    """An engine with some remedies; 0 drivers stand for as many as there should be."""
    if "drivers" in changes:
        changes = changes | {"drivers": max(1, workers // WORKERS_A_DRIVER)}
    return replace(Engine(), **changes)  # type: ignore[arg-type]


def sweep(
    costs: Costs,
    workers: int,
    store: Store,
    changes: dict[str, object] | None = None,
    longer: float = 1.0,
) -> Outcome:
    """A sweep with so many jobs for each worker."""
    jobs = draw_jobs(costs, JOBS_A_WORKER * workers, longer=longer)
    engine = engine_of(changes or {}, workers)
    return simulate(jobs, workers, costs, store=store, engine=engine, losses=LOSSES)


def as_it_is(costs: Costs) -> list[str]:
    """Efficiency, throughput and limit at every number of workers."""
    rows = []
    for workers in WORKERS:
        runs = JOBS_A_WORKER * workers * costs.runs_per_job
        cells = [f"{workers:,}", f"{runs:,}"]
        for store in (SHARED, OBJECTS):
            out = sweep(costs, workers, store)
            cells += [_percent(out), f"{runs / out.makespan:.2g}", out.limit]
        rows.append(cells)
    head = ["workers", "runs"]
    for store in (SHARED, OBJECTS):
        head += [f"{store.name}: efficiency", "runs/s", "limit"]
    return _table(head, rows)


def remedied(costs: Costs) -> list[str]:
    """Efficiency with each remedy on top of those before, and alone."""
    rows, so_far = [], dict[str, object]()
    for name, changes in REMEDIES:
        so_far |= changes
        together = [sweep(costs, workers, SHARED, so_far) for workers in REMEDIED]
        alone = sweep(costs, ALONE, SHARED, changes)
        rows.append([name, *map(_percent, together), together[-1].limit, _percent(alone)])
    head = ["remedy, on top of those above", *(f"{w:,}" for w in REMEDIED)]
    return _table([*head, f"limit at {REMEDIED[-1]:,}", f"alone, {ALONE}"], rows)


def longer_runs(costs: Costs) -> list[str]:
    """Runs of the published size, as it is and with all remedies, on both stores."""
    every = {key: value for _, changes in REMEDIES for key, value in changes.items()}
    rows = []
    for store in (SHARED, OBJECTS):
        for name, changes in (("as it is", {}), ("all remedies", every)):
            outs = [sweep(costs, workers, store, changes, LONGER) for workers in REMEDIED]
            rows.append([f"{store.name}, {name}", *map(_percent, outs), outs[-1].limit])
    head = ["runs 25 times as long", *(f"{w:,}" for w in REMEDIED)]
    return _table([*head, f"limit at {REMEDIED[-1]:,}"], rows)


def _percent(out: Outcome) -> str:
    share = 100 * out.efficiency
    return f"{share:.0f} %" if share >= 2 else f"{share:.1g} %"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows)]


def measured(costs: Costs) -> list[str]:
    """The costs that went in."""

    def ms(seconds: float) -> str:
        return f"{1e3 * seconds:.3g} ms"

    files = costs.driving
    median = costs.run_seconds[len(costs.run_seconds) // 2]
    return _table(["measured", "cost"], [
        ["training a run, in a batch of 12", f"{median:.3g} s (median), "
         f"{costs.run_seconds[0]:.3g} to {costs.run_seconds[-1]:.3g} s"],
        ["start of a worker", f"{costs.start:.3g} s of CPU time"],
        ["driver, planning a run", ms(costs.plan)],
        ["driver, giving out a job", ms(costs.dispatch)],
        ["driver, row of a finished run", f"{ms(costs.collect)} and {files.gets + files.regets:.0f}"
         f" reads and {files.looks + files.relooks:.0f} looks at the store"],
        ["driver, the same if the row came with the message", ms(costs.receive)],
        ["driver, saving the ledger", f"{ms(costs.ledger)} and {ms(costs.ledger_row)} a row"],
        ["listing the root", f"{1e6 * costs.listing:.2g} µs a run that is stored there; a run is "
         f"looked for {files.listings:.0f} time by the driver, {costs.training.listings:.0f} by "
         "workers"],
        ["driver, looking after a running job", f"{1e6 * costs.look:.2g} µs a turn"],
        ["worker, files of a run", f"{costs.training.puts + costs.saving.puts:.0f} put in place, "
         f"{(costs.training.sent + costs.saving.sent) / 1e3:.0f} kB; every save "
         f"{costs.saving.puts:.0f} more"],
    ])  # fmt: skip


def tables(costs: Costs) -> str:
    """All tables, as Markdown."""
    parts = [measured(costs), as_it_is(costs), remedied(costs), longer_runs(costs)]
    return "\n\n".join("\n".join(lines) for lines in parts)


def main() -> None:
    """Measure if asked, simulate, print or write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--measure", action="store_true", help=f"measure the costs into {FILE.name}"
    )
    parser.add_argument("--ledger", type=Path, default=ROOT / "results" / "ledger.parquet",
                        help="rows whose seconds stand for the runs")  # fmt: skip
    parser.add_argument("--write", action="store_true", help="write the tables into the docs")
    arguments = parser.parse_args()
    if arguments.measure:
        write(measure(arguments.ledger))
    text = tables(read())
    if not arguments.write:
        print(text)
        return
    page = PAGE.read_text()
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


if __name__ == "__main__":
    main()
