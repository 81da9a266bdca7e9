"""What a `Probe` remembers, as plain containers of tensors that a checkpoint can hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from spectraledge.instruments.observer import Observer
from spectraledge.snapshots import Layout, Snapshot

__all__ = ["check_state", "plain_layout", "plain_snapshots", "read_snapshots"]


def plain_snapshots(snapshots: Iterable[Snapshot]) -> list[dict[str, Any]]:
    """Snapshots without their layout, as dictionaries of numbers and tensors."""
    return [
        {"step": s.step, "parameters": s.parameters, "parts": dict(s.parts), "lr": s.lr}
        for s in snapshots
    ]


def read_snapshots(plain: Iterable[Mapping[str, Any]], layout: Layout) -> list[Snapshot]:
    """The inverse of `plain_snapshots`.

    Args:
        plain: What it returned, perhaps read from a file.
        layout: Of the model.

    Returns:
        Snapshots in the same order.
    """
    return [Snapshot(s["step"], layout, s["parameters"], s["parts"], lr=s["lr"]) for s in plain]


def check_state(
    state: Mapping[str, Any], observer: Observer, layout: Layout, *, records_decay: bool
) -> None:
    """Refuse the state of another probe.

    Args:
        state: To be loaded.
        observer: Of the probe that is to go on.
        layout: Of its model.
        records_decay: Whether it records what the optimizer's decay does.

    Raises:
        ValueError: If instruments, parameters, or the recording of decay are others.
    """
    ours, theirs = list(observer.instruments), list(state["sketches"])
    if sorted(ours) != sorted(theirs):
        raise ValueError(
            f"Probe.load_state_dict: expected the state of the instruments {ours}, got that of "
            f"{theirs}; make the probe with the same ones"
        )
    if (state["names"], state["shapes"]) != plain_layout(layout):
        names = _differing(state["names"], layout.names) or "the same names in other shapes"
        raise ValueError(
            f"Probe.load_state_dict: expected the parameters of this model, got others: {names}"
        )
    if records_decay != (state["decay"] is not None):
        with_or_without = "with" if state["decay"] is not None else "without"
        raise ValueError(
            f"Probe.load_state_dict: the state is of a probe {with_or_without} optimizer=; make "
            "this one alike"
        )


def plain_layout(layout: Layout) -> tuple[list[str], list[list[int]]]:
    """Names and shapes of a model's parameters, as lists."""
    return list(layout.names), [list(shape) for shape in layout.shapes]


def _differing(first: Sequence[str], second: Sequence[str]) -> list[str]:
    return sorted(set(first) ^ set(second))
