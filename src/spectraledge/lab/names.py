"""Readable names for runs; they identify nothing, the spec does."""

from __future__ import annotations

from dataclasses import fields

from spectraledge.tasks import ModularArithmetic
from spectraledge.training import RunSpec
from spectraledge.updates import Update

__all__ = ["run_name"]


def run_name(spec: RunSpec) -> str:
    """A short name such as ``add113-unordered-weightdecay0.1-adam-seed0``.

    Args:
        spec: The run; a task with a ``name`` is called by it, any other by its class.

    Returns:
        Task, links of the update chain and seed, joined by hyphens.
    """
    links = "-".join(filter(None, map(_link_name, spec.updates)))
    return f"{_task_name(spec)}-{links}-seed{spec.seed}"


def _task_name(spec: RunSpec) -> str:
    task = spec.task
    if isinstance(task, ModularArithmetic):
        return f"{task.operation}{task.modulus}-{task.split}"
    return str(getattr(task, "name", type(task).__name__.lower()))


def _link_name(update: Update) -> str:
    kind = type(update).__name__.lower()
    strength = [
        getattr(update, f.name)
        for f in fields(update)  # type: ignore[arg-type]
        if f.name == "strength"
    ]
    return f"{kind}{strength[0]:g}" if strength else kind
