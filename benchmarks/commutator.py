"""One commutator measurement of nine batch pairs, in training steps: ours and a script's."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.harness import Goal, in_turns, report
from benchmarks.naive import LibraryEncoder
from spectraledge.instruments import CommutatorDefect, Window
from spectraledge.models import PreNormEncoderSpec
from spectraledge.snapshots import Snapshot
from spectraledge.tasks import ModularArithmetic
from spectraledge.training import Execution, Problem, RunSpec, Trainer
from spectraledge.updates import Adam, ClipGradient, WeightDecay

PAIRS, ETA = 9, 1e-3
PUBLISHED_STEPS = 30.0  # 4 gradients for each of 9 samples, in steps of the published code


def published_run() -> RunSpec:
    """The fast regime of arXiv:2602.16746: 290,401 parameters, batch 512."""
    return RunSpec(
        task=ModularArithmetic(97, form="two_token", train_fraction=0.5, split="ordered"),
        model=PreNormEncoderSpec(),
        updates=(ClipGradient(1.0), WeightDecay(1.0), Adam(beta2=0.98)),
        batch_size=512,
        sampling="replacement",
    )


class Script:
    """Eager, torch's layers and optimizer; samples of four gradients on new batches."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.model = LibraryEncoder(97, 2)
        self.parameters = list(self.model.parameters())
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=1e-3, betas=(0.9, 0.98), weight_decay=1.0
        )
        self.drawn = 0

    def batch(self) -> tuple[Tensor, Tensor]:
        """New examples."""
        self.drawn += 1
        tokens, labels = self.problem.batch(self.drawn, "script")
        return tokens[0], labels[0]

    def loss(self, tokens: Tensor, labels: Tensor) -> Tensor:
        """Of all positions in every layer."""
        return F.cross_entropy(self.model(tokens), labels)

    def step(self) -> None:
        """One training step."""
        self.optimizer.zero_grad()
        self.loss(*self.batch()).backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()

    def gradients(self, batch: tuple[Tensor, Tensor]) -> list[Tensor]:
        """Of one batch."""
        return list(torch.autograd.grad(self.loss(*batch), self.parameters))

    @torch.no_grad()
    def moved(self, direction: list[Tensor], step: float) -> None:
        """Add a multiple of a direction to the parameters."""
        for p, d in zip(self.parameters, direction):
            p.add_(d, alpha=step)

    def sample(self) -> None:
        """One commutator as published: both orders of two steps."""
        batches = self.batch(), self.batch()
        start = [p.detach().clone() for p in self.parameters]
        for first, second in (batches, batches[::-1]):
            for batch in (first, second):
                self.moved(self.gradients(batch), -ETA)
            for p, x in zip(self.parameters, start):
                p.data.copy_(x)


def measurements(problem: Problem) -> dict[str, Callable[[], object]]:
    """One measurement of nine pairs by each method, on a new snapshot every time."""
    window = Window((Snapshot(0, problem.layout, problem.initial_parameters()),), problem)
    kinds = {
        "9 pairs, exact": CommutatorDefect(pairs=PAIRS),
        "9 pairs, exact, halves": CommutatorDefect(pairs=PAIRS, pieces=2),
        "9 pairs, gradient differences": CommutatorDefect("gradient_difference", pairs=PAIRS),
        "9 pairs, published formula": CommutatorDefect("published", pairs=PAIRS),
    }
    return {name: lambda i=i: i.measure(window) for name, i in kinds.items()}  # type: ignore[misc]


def main() -> None:
    """Run and report."""
    Execution().apply()
    problem = Problem([published_run()], Execution())
    script = Script(problem)
    timings = in_turns(
        {
            "training step": Trainer(problem).step_,
            "training step, script": script.step,
            "one sample, script": script.sample,
            **{name: torch.no_grad()(call) for name, call in measurements(problem).items()},
        },
        rounds=5,
        warm_up=1,
    )
    ours, theirs = timings["training step"].p50, timings["training step, script"].p50
    exact, halves = timings["9 pairs, exact"].p50, timings["9 pairs, exact, halves"].p50
    goals = [
        Goal("9 exact pairs, in our steps", exact / ours, 20.0, at_most=True),
        Goal("9 exact pairs, in steps of the script", exact / theirs, 20.0, at_most=True),
        Goal("9 exact pairs of halves, in our steps", halves / ours, 20.0, at_most=True),
        Goal("9 exact pairs of halves, in script steps", halves / theirs, 20.0, at_most=True),
        Goal("9 samples of the script, in its steps",
             PAIRS * timings["one sample, script"].p50 / theirs, PUBLISHED_STEPS, at_most=False),
    ]  # fmt: skip
    report("commutator of nine batch pairs, published fast regime", timings, goals)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
