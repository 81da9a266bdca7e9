"""A training step on padded sequences: packed lines against a loop over every position."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.harness import Goal, in_turns, report
from spectraledge.models import CausalDecoderSpec, EncoderDecoderSpec
from spectraledge.tasks import DyckDepth, Scan
from spectraledge.training import Execution, Problem, RunSpec, Trainer
from spectraledge.updates import Adam, ClipGradient, WeightDecay

UPDATES = (ClipGradient(1.0), WeightDecay(1.0), Adam(beta2=0.98))
SCAN = RunSpec(task=Scan(), model=EncoderDecoderSpec(), updates=UPDATES, batch_size=256)
DYCK = RunSpec(
    task=DyckDepth(sampling="published"),
    model=CausalDecoderSpec(),
    updates=UPDATES,
    batch_size=50,
    sampling="replacement",
    data_seed=0,
)


class LibraryTranslator(nn.Module):
    """The model of SCAN out of torch's own layers, every position of every row."""

    def __init__(self, task: Scan) -> None:
        super().__init__()
        width, self.source = 256, task.source_length
        self.tokens, self.actions = nn.Embedding(task.vocabulary, width), nn.Embedding(9, width)
        self.places = nn.Embedding(self.source, width)
        self.steps = nn.Embedding(task.length - self.source, width)
        self.transformer = nn.Transformer(
            width, 4, 3, 3, 2 * width, dropout=0.0, activation="gelu", batch_first=True,
            norm_first=True,
        )  # fmt: skip
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, task.classes)

    def forward(self, rows: Tensor) -> Tensor:
        """Logits of every position of the target."""
        source, target = rows[:, : self.source], rows[:, self.source :]
        padding = source == 0
        x = self.transformer(
            self.tokens(source) + self.places.weight,
            self.actions(target) + self.steps.weight,
            tgt_mask=_later(target.shape[1]),
            src_key_padding_mask=padding,
            memory_key_padding_mask=padding,
            tgt_is_causal=True,
        )
        return self.head(self.norm(x))


class LibraryBrackets(nn.Module):
    """The model of Dyck out of torch's own layers, every position of every row."""

    def __init__(self, task: DyckDepth) -> None:
        super().__init__()
        width = 128
        self.tokens = nn.Embedding(task.vocabulary, width)
        self.places = nn.Parameter(torch.randn(48, width) * width**-0.5)
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, task.classes)

    def forward(self, rows: Tensor) -> Tensor:
        """Logits of every position."""
        length = rows.shape[1]
        x = self.tokens(rows) + self.places[:length]
        return self.head(self.norm(self.encoder(x, mask=_later(length), is_causal=True)))


def _later(length: int) -> Tensor:
    return torch.ones(length, length, dtype=torch.bool).triu(1)


@dataclass
class Script:
    """An eager loop with torch's optimizer, on the same batches as ours."""

    problem: Problem
    model: nn.Module

    def __post_init__(self) -> None:
        self.parameters = list(self.model.parameters())
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=1e-3, betas=(0.9, 0.98), weight_decay=1.0
        )
        self.taken = 0

    def step(self) -> None:
        """One training step."""
        tokens, labels = (x[0] for x in self.problem.batch(self.taken))
        self.optimizer.zero_grad()
        F.cross_entropy(self.model(tokens).flatten(0, 1), labels.flatten()).backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.taken += 1

    @torch.no_grad()
    def evaluate(self) -> None:
        """Losses of all rows, 512 at a time."""
        for tokens, labels in self.problem.data.chunks():
            F.cross_entropy(self.model(tokens[0]).flatten(0, 1), labels[0].flatten())


def pair(spec: RunSpec, model: nn.Module) -> tuple[Script, Trainer]:
    """A script and our trainer on one run."""
    problem = Problem([spec], Execution())
    script = Script(problem, model)
    sizes = sum(p.numel() for p in script.parameters), problem.layout.size
    if sizes[0] != sizes[1]:
        raise ValueError(f"expected models of one size, got {sizes[0]} and {sizes[1]} parameters")
    return script, Trainer(problem)


def steps(name: str, script: Script, ours: Trainer) -> dict[str, Callable[[], object]]:
    """What is timed of one task."""
    theta = ours.state.theta.clone()
    return {
        f"{name} step, script": script.step,
        f"{name} step, ours": ours.step_,
        f"{name} evaluation, script": script.evaluate,
        f"{name} evaluation, ours": lambda: ours.problem.evaluate(theta),
    }


def main() -> None:
    """Run and report."""
    torch.manual_seed(0)
    scan = steps("SCAN", *pair(SCAN, LibraryTranslator(Scan())))
    dyck = steps("Dyck", *pair(DYCK, LibraryBrackets(DyckDepth())))
    timings = in_turns(dyck, rounds=20) | in_turns(scan, rounds=7, warm_up=1)
    goals = [
        Goal(f"{name} {what}, script over ours",
             timings[f"{name} {what}, script"].p50 / timings[f"{name} {what}, ours"].p50,
             limit, at_most=False)
        for name, what, limit in (
            ("SCAN", "step", 2.5), ("SCAN", "evaluation", 1.5),
            ("Dyck", "step", 2.5), ("Dyck", "evaluation", 2.5),
        )
    ]  # fmt: skip
    report("padded sequences: SCAN (3,979,529 parameters), Dyck (273,421)", timings, goals)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
