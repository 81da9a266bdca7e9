"""Training step of the published encoder (290,401 parameters, batch 512) against a script's."""

from __future__ import annotations

import torch

from benchmarks.commutator import Script, published_run
from benchmarks.harness import Goal, in_turns, report
from spectraledge.training import Execution, Problem, Trainer


def main() -> None:
    """Run and report.

    `Execution.apply` is not called: it lets the process keep the memory it frees, which would
    speed up the script as well, and a script does not know of it.
    """
    problem = Problem([published_run()], Execution())
    timings = in_turns(
        {"ours": Trainer(problem).step_, "script": Script(problem).step}, rounds=60, warm_up=3
    )
    ratio = timings["script"].p50 / timings["ours"].p50
    report(
        "training step, published encoder (290,401 parameters, batch 512)",
        timings,
        [Goal("training step of the script over ours", ratio, 2.0, at_most=False)],
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
