"""Training step of the reference configuration against a naive loop and against the GEMM bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

from benchmarks.harness import Goal, Timing, in_turns, report
from spectraledge.training import Execution, Problem, RunSpec, Trainer


class Pairs(Dataset):
    """Examples as Python tuples, as a first script would hold them."""

    def __init__(self, spec: RunSpec) -> None:
        data = spec.task.dataset(spec.data_seed)
        rows = data.train.tolist()
        self.examples = [(tuple(data.tokens[r].tolist()), int(data.labels[r])) for r in rows]

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.examples)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """One example as two small tensors."""
        tokens, label = self.examples[index]
        return torch.tensor(tokens), torch.tensor(label)


def naive(spec: RunSpec) -> Callable[[], None]:
    """Eager module, every position in every layer, DataLoader over tuples, torch.optim.AdamW."""
    task = spec.task
    model = spec.model.build(
        vocabulary=task.vocabulary, length=task.length, classes=task.classes, seed=0
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    loader = DataLoader(Pairs(spec), batch_size=spec.batch_size, shuffle=True, drop_last=True)

    def endless() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            yield from loader

    batches = endless()

    def step() -> None:
        tokens, labels = next(batches)
        optimizer.zero_grad()
        F.cross_entropy(model.naive_forward(tokens), labels).backward()
        optimizer.step()

    return step


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
    """Run and report."""
    spec = RunSpec()
    gemm, flops = product(torch.float32)
    timings = in_turns(
        {
            "naive loop": naive(spec),
            "ours, R = 1, fp32": ours(1, "float32"),
            "ours, R = 4, fp32": ours(4, "float32"),
            "ours, R = 1, bf16": ours(1, "bfloat16"),
            "ours, R = 4, bf16": ours(4, "bfloat16"),
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
            Goal("cost per run, R = 4 over R = 1", timings["ours, R = 4, fp32"].p50 / 4 / one,
                 1.1, at_most=True),
        ],
    )  # fmt: skip


if __name__ == "__main__":
    Execution().apply()
    main()
