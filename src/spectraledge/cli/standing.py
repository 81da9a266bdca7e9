"""Where a stored run stands, read from its folder.

The folder is all that is needed, so it makes no difference who trains the run: this process, a
worker, or somebody else's command.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from spectraledge.store import RunFolder

__all__ = ["Standing", "checkpoint_step", "mean_ranks", "read_standing"]


@dataclass(frozen=True)
class Standing:
    """State and newest numbers of a run.

    Args:
        state: ``missing``, ``partial``, ``done``, ``failed`` or ``damaged``.
        note: Why, for the last two; the step of divergence.
        step: Last recorded step, 0 if there is none.
        last: Newest metrics by name, with the ``stable_rank`` and ``entropy_rank`` averaged over
            query and key matrices where they were measured.
        validation: Validation accuracies so far.
    """

    state: str
    note: str = ""
    step: int = 0
    last: Mapping[str, float] = field(default_factory=dict)
    validation: tuple[float, ...] = ()


def read_standing(folder: RunFolder, *, thorough: bool = False) -> Standing:
    """Where a run stands; unless `thorough`, compares sizes only, which takes milliseconds."""
    from spectraledge.store import DamagedError

    status = folder.status(thorough=thorough)
    note = "; ".join(status.reasons)
    if status.state in ("missing", "damaged"):
        return Standing(status.state, note)
    try:
        curves = folder.read_curves()
        ranks = mean_ranks(folder)
    except FileNotFoundError:  # nothing was recorded yet
        return Standing(status.state, note)
    except DamagedError as error:
        return Standing("damaged", "; ".join(error.reasons))
    last = {name: float(values[-1]) for name, values in (curves | ranks).items() if len(values)}
    lost = int(curves["lost_at"][-1])
    return Standing(
        state=status.state,
        note=note or (f"diverged at step {lost}" if lost >= 0 else ""),
        step=int(last["step"]),
        last=last,
        validation=tuple(map(float, curves["validation_accuracy"])),
    )


def mean_ranks(folder: RunFolder) -> dict[str, NDArray[Any]]:
    """Ranks ``(T,)`` averaged over query and key matrices; empty if they were not measured."""
    from spectraledge.instruments import WeightSpectrum

    try:
        steps, arrays = folder.read_reading(WeightSpectrum())
    except FileNotFoundError:
        return {}
    names = ("stable_rank", "entropy_rank")
    return {"rank_step": steps} | {name: arrays[name].mean(axis=1) for name in names}


def checkpoint_step(folder: RunFolder) -> int:
    """Step from which training would go on: that of the checkpoint, 0 without a readable one."""
    from spectraledge.lab.recorder import read_saved

    saved = read_saved(folder)
    return 0 if saved is None else int(saved.state["step"])
