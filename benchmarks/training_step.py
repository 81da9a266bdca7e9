"""Training step of the reference configuration against a naive loop and against the GEMM bound."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks.harness import Goal, Timing, in_turns, report
from benchmarks.naive import naive_loop
from spectraledge.training import Execution, Problem, RunSpec, Trainer


def ours(runs: int, compute: str) -> Callable[[], None]:
    """One step of the batched trainer."""
    specs = [RunSpec(seed=seed, compute=compute) for seed in range(runs)]
    return Trainer(Problem(specs, Execution())).step_


def least_flops(spec: RunSpec) -> float:
    """Floating-point operations of the matrix products that a step cannot do without.

    Forward, and twice as many backward. First-block projections once per (token, position); the
    last block's queries, output and MLP at one position.
    """
    width, batch, length = 128, spec.batch_size, spec.task.length
    vocabulary, everywhere = spec.task.vocabulary, spec.batch_size * spec.task.length
    square = width * width
    first = 3 * vocabulary * length * square + everywhere * 9 * square
    last = batch * square + 2 * everywhere * square + batch * 9 * square
    head = batch * width * spec.task.classes
    return 3.0 * 2.0 * (first + last + head)


def product(dtype: torch.dtype) -> tuple[Callable[[], torch.Tensor], float]:
    """The step's most frequent matrix product, and its floating-point operations."""
    a, b = torch.randn(1536, 128).to(dtype), torch.randn(128, 512).to(dtype)
    return lambda: a @ b, 2.0 * 1536 * 128 * 512


def main() -> None:
    """Run and report.

    `Execution.apply` is not called: it lets the process keep the memory it frees, which would
    speed up the naive loop as well (by a fifth), and a naive script does not know of it.
    """
    spec = RunSpec()
    gemm, flops = product(torch.float32)
    timings = in_turns(
        {
            "naive loop": naive_loop(spec),
            "ours, R = 1, fp32": ours(1, "float32"),
            "ours, R = 1, bf16": ours(1, "bfloat16"),
            "one GEMM 1536x128x512, fp32": gemm,
        },
        rounds=40,
    )
    bound = least_flops(spec) / (flops / timings["one GEMM 1536x128x512, fp32"].p50)
    timings["bound: least FLOPs / GEMM rate"] = Timing(bound, bound, bound)
    slow, one = timings["naive loop"].p50, timings["ours, R = 1, fp32"].p50
    report(
        "training step, reference configuration (423,936 parameters, batch 512)",
        timings,
        [
            Goal("speed-up over the naive loop, fp32", slow / one, 2.2, at_most=False),
            Goal("speed-up over the naive loop, bf16", slow / timings["ours, R = 1, bf16"].p50,
                 3.3, at_most=False),
            Goal("step over the GEMM bound, fp32", one / bound, 1.5, at_most=True),
        ],
    )  # fmt: skip


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
