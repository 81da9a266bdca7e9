"""Tiny training problems that every test may use."""

from dataclasses import replace

from spectraledge.models import ScaleInvariantDecoderSpec
from spectraledge.tasks import ModularArithmetic
from spectraledge.training import Execution, RunSpec
from spectraledge.updates import Adam, WeightDecay

EAGER = Execution(compile=False)
TINY_MODEL = ScaleInvariantDecoderSpec(width=16, heads=2, mlp_width=24)
TINY = RunSpec(
    task=ModularArithmetic(modulus=7),
    model=TINY_MODEL,
    updates=(WeightDecay(0.1), Adam()),
    steps=12,
    batch_size=16,
    record_every=4,
)


def tiny(**changes: object) -> RunSpec:
    return replace(TINY, **changes)
