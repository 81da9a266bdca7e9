"""Rank collapse and grokking under several decays: the mechanism run of low-rank decay.

The published figure (Ji and Song, 2025; Li, 2026, arXiv 2606.04405) trains a scale-invariant
transformer on modular addition and compares L2 decay with low-rank decay: the stable rank of the
query and key matrices collapses under the latter, and only it generalises. We add what is missing:
seeds, an L2 arm of matched strength, the exact proximal step, and a mirror-safe split.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

from spectraledge.decay.amount import DecayMethod
from spectraledge.experiments.base import Arms, Experiment, Results, Scale
from spectraledge.experiments.low_rank_decay.rank_collapse_page import make_page
from spectraledge.instruments import DecayGeometry, Instrument, ScaleInvariance, WeightSpectrum
from spectraledge.models import ScaleInvariantDecoderSpec
from spectraledge.report import Page
from spectraledge.tasks import ModularArithmetic
from spectraledge.training import At, Cadence, RunSpec
from spectraledge.updates import Adam, LowRank, Update, WeightDecay

__all__ = ["EXPERIMENT", "RankCollapse"]

# lambda of the published run; its five-step direction times 0.005 is, at initialisation, as long
# as the exact polar direction times 0.00274, and as a weight decay of 5.4 at lr 1e-3.
PUBLISHED = 0.005
PROXIMAL = 0.00274
MATCHED = 5.4
SPLITS: tuple[Literal["unordered", "ordered"], ...] = ("unordered", "ordered")


def decays(rest: float) -> dict[str, tuple[Update, ...]]:
    """Update chains by arm; all but ``no decay`` decay everything besides Q and K by `rest`."""
    others = WeightDecay(rest, on="not_qk")

    def low_rank(strength: float, method: DecayMethod) -> LowRank:
        return LowRank(strength, scale="absolute", coupled=False, method=method)

    return {
        "no decay": (Adam(),),
        "L2 published": (WeightDecay(rest, on="all"), Adam()),
        "L2 matched": (WeightDecay(MATCHED, on="qk"), others, Adam()),
        "LRD published": (others, Adam(), low_rank(PUBLISHED, "published")),
        "LRD proximal": (others, Adam(), low_rank(PROXIMAL, "svd")),
    }


@dataclass(frozen=True)
class RankCollapse(Experiment):
    """See the module."""

    name: ClassVar[str] = "low_rank_decay/rank_collapse"
    title: ClassVar[str] = (
        "Does low-rank decay collapse the rank of Q and K, and is it why they grok?"
    )

    def arms(self, scale: Scale) -> Arms:
        """Arms by name; see `decays`."""
        make = {"smoke": _smoke, "demo": _demo, "full": _full}[scale]
        return make()

    def instruments(self, scale: Scale) -> tuple[Instrument | tuple[Instrument, Cadence], ...]:
        """Spectra and geometry at every snapshot, the invariance test at the initialisation."""
        return (WeightSpectrum(), DecayGeometry(), (ScaleInvariance(), At((0,))))

    def page(self, results: Results, scale: Scale) -> Page:
        """Curves, spectra, outcomes and verdicts."""
        return make_page(results, scale)


def _full() -> Arms:
    # Both sit on their plateau from step 500 on; the other arms generalise late, and get the full
    # budget of the released run.
    short = {"no decay": 1000, "L2 published": 2000}
    return {
        arm: [
            RunSpec(
                task=ModularArithmetic(113, split=split),
                updates=updates,
                seed=seed,
                data_seed=42 + seed,
                steps=short.get(arm, 4000),
                record_every=100,
            )
            for split in SPLITS
            for seed in range(3)
        ]
        for arm, updates in decays(rest=0.1).items()
    }


def _demo() -> Arms:
    # Small enough for minutes; the stronger decay and the larger fraction make up for the size.
    # Its L2 is not the published one, so it has another name.
    labels = {
        "L2 published": "L2 on everything",
        "LRD published": "LRD published",
        "LRD proximal": "LRD proximal",
    }
    chains = decays(rest=1.0)
    return _small(
        {label: chains[arm] for arm, label in labels.items()},
        modulus=31,
        width=64,
        train_fraction=0.8,
        steps=1500,
        batch_size=256,
        every=50,
        seeds=(0, 1),
    )


def _smoke() -> Arms:
    return _small(
        decays(rest=1.0),
        modulus=7,
        width=16,
        train_fraction=0.5,
        steps=20,
        batch_size=16,
        every=5,
        seeds=(0, 1),
    )


def _small(
    chains: dict[str, tuple[Update, ...]],
    *,
    modulus: int,
    width: int,
    train_fraction: float,
    steps: int,
    batch_size: int,
    every: int,
    seeds: Iterable[int],
) -> Arms:
    model = ScaleInvariantDecoderSpec(width=width, mlp_width=4 * width)
    return {
        arm: [
            RunSpec(
                task=ModularArithmetic(modulus, train_fraction=train_fraction),
                model=model,
                updates=updates,
                lr=2e-3,
                steps=steps,
                batch_size=batch_size,
                record_every=every,
                seed=seed,
                data_seed=42 + seed,
            )
            for seed in seeds
        ]
        for arm, updates in chains.items()
    }


EXPERIMENT = RankCollapse()
