"""The published functional analysis of one snapshot of the Dyck model, ours and as a loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.harness import Goal, in_turns, report
from spectraledge.instruments import (
    Ablation,
    FunctionalSite,
    LogitResponse,
    PerturbationCurve,
    Window,
    directional_curvature,
    perturbation_curve,
)
from spectraledge.instruments.ablation_controls import along, orthonormal_pair
from spectraledge.models import CausalDecoderSpec
from spectraledge.snapshots import Layout
from spectraledge.tasks import UNLABELLED, DyckDepth
from spectraledge.training import Execution, Problem, RunSpec, Trainer
from spectraledge.updates import Adam, WeightDecay

TRIALS = 20
LEVELS = torch.linspace(-0.03, 0.03, 25, dtype=torch.float64)
CURVE = PerturbationCurve(steps="published", rows=200)
REMOVALS = Ablation(rows=300)


def published_window() -> Window:
    """Six snapshots of the published model, a step apart; costs do not depend on the distance."""
    spec = RunSpec(
        task=DyckDepth(sampling="published"),
        model=CausalDecoderSpec(),
        updates=(WeightDecay(1.0), Adam(beta2=0.98)),
        batch_size=50,
    )
    problem = Problem([spec], Execution())
    steps = Trainer(problem).snapshots(lambda step: True)
    return Window(tuple(snapshot for snapshot, _ in zip(steps, range(6))), problem)


def ours(window: Window) -> list[object]:
    """The published suite by our functions."""
    curve, removals = (FunctionalSite.of(i, window) for i in (CURVE, REMOVALS))
    v = curve.directions.unbind(1)
    return [
        perturbation_curve(curve, v, LEVELS.unsqueeze(0)),
        directional_curvature(curve, v, "published"),
        removals.outcomes(planes_removed(removals, window.now.step)),
    ]


def planes_removed(site: FunctionalSite, step: int) -> Iterator[Tensor]:
    """Edge, bulk, single directions and 20 random planes."""
    theta, v = site.vector, site.directions
    for chosen in (v[:, :2], v[:, 2:], *v.split(1, 1)):
        yield theta - along(theta, chosen)
    random = site.random(seed=0, step=step)
    for _ in range(TRIALS):
        yield theta - along(theta, orthonormal_pair(next(random), next(random)))


class Script:
    """As the published code: a state dict per point, every row, one eager forward pass."""

    def __init__(self, site: FunctionalSite, layout: Layout) -> None:
        self.site, self.layout = site, layout
        self.model = CausalDecoderSpec().build(vocabulary=3, length=24, classes=13, seed=0)
        self.tokens, self.labels = (x[0] for x in site.labelled)
        self.labelled = self.labels != UNLABELLED
        self.theta, self.v = site.vector[0].float(), site.directions[0].float()

    @torch.no_grad()
    def logits(self, point: Tensor) -> Tensor:
        """Of the labelled tokens, with the point in place of the chosen weights."""
        flat = self.site.theta[0].clone()
        flat[self.site.columns] = point
        self.model.load_state_dict(self.layout.views(flat))
        return self.model(self.tokens)[self.labelled]

    def evaluate(self, points: Iterable[Tensor]) -> list[tuple[float, float, float]]:
        """Loss, accuracy and divergence of every point."""
        labels, before = self.labels[self.labelled], self.logits(self.theta).softmax(-1)
        found = []
        for point in points:
            logits = self.logits(point)
            divergence = before * (before.log() - (logits.softmax(-1) + 1e-10).log())
            right = (logits.argmax(-1) == labels).float().mean()
            loss = F.cross_entropy(logits, labels)
            found.append((loss.item(), right.item(), divergence.sum(-1).mean().item()))
        return found

    def curve(self) -> list[tuple[float, float, float]]:
        """25 displacements along four directions, and second differences."""
        size = 1e-3 * self.theta.norm()
        levels = [*LEVELS.float(), -size, size]
        return self.evaluate(self.theta + level * v for v in self.v for level in levels)

    def planes_removed(self) -> list[tuple[float, float, float]]:
        """Edge, bulk, single directions and 20 random planes."""
        chance = torch.Generator().manual_seed(1000)
        random = (
            torch.linalg.qr(torch.randn(len(self.theta), 2, generator=chance))[0].T
            for _ in range(TRIALS)
        )
        chosen = chain((self.v[:2], self.v[2:], *self.v.split(1)), random)
        return self.evaluate(self.theta - (V @ self.theta) @ V for V in chosen)


def alternatives(window: Window) -> dict[str, Callable[[], object]]:
    """The published suite by both, and our instruments with all their controls."""
    curve, removals = (
        Script(FunctionalSite.of(i, window), window.now.layout) for i in (CURVE, REMOVALS)
    )

    def fresh() -> Window:
        # What instruments share at one snapshot is no gift to the next round.
        return Window(window.snapshots, window.problem)

    return {
        "published suite, ours": lambda: ours(fresh()),
        "published suite, loop over state dicts": lambda: (
            curve.curve(), removals.planes_removed()
        ),
        "PerturbationCurve": lambda: PerturbationCurve().measure(fresh()),
        "PerturbationCurve, published curvature": lambda: PerturbationCurve(
            curvature="published"
        ).measure(fresh()),
        "Ablation, with all controls": lambda: Ablation().measure(fresh()),
        "LogitResponse": lambda: LogitResponse().measure(fresh()),
    }  # fmt: skip


def main() -> None:
    """Run and report."""
    Execution().apply()
    timings = in_turns(alternatives(published_window()), rounds=3, warm_up=1)
    ours = timings["published suite, ours"].p50
    loop = timings["published suite, loop over state dicts"].p50
    goal = Goal("published suite, loop over ours", loop / ours, 3.0, at_most=False)
    report("functional suite of one snapshot, Dyck model", timings, [goal])


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
