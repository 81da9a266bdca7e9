"""Run every benchmark, or those named: ``python -m benchmarks training_step``."""

import sys

import torch

from benchmarks import (
    batched_runs,
    commutator,
    edge_monitor,
    edge_sketch,
    encoder_step,
    engine_overhead,
    functional_suite,
    instruments,
    low_rank_step,
    published_corner,
    sequence_step,
    sweeps,
    training_step,
    trajectory_analysis,
)

torch.set_num_threads(1)
ALL = {
    "training_step": training_step,
    "encoder_step": encoder_step,
    "batched_runs": batched_runs,
    "low_rank_step": low_rank_step,
    "instruments": instruments,
    "sweeps": sweeps,
    "engine_overhead": engine_overhead,
    "published_corner": published_corner,
    "sequence_step": sequence_step,
    "commutator": commutator,
    "trajectory_analysis": trajectory_analysis,
    "functional_suite": functional_suite,
    "edge_monitor": edge_monitor,
    "edge_sketch": edge_sketch,
}
names = sys.argv[1:] or list(ALL)
unknown = [name for name in names if name not in ALL]
if unknown:
    sys.exit(f"unknown benchmarks {unknown}; known: {', '.join(ALL)}")
for name in names:
    ALL[name].main()
