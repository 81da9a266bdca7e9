"""One run as one row: what was asked for, what came out, and thinned curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spectraledge.lab.decision import Decision
from spectraledge.lab.measure import is_measured
from spectraledge.lab.names import run_name
from spectraledge.lab.plan import Plan, bare, with_cadence
from spectraledge.lab.reading_curves import curve_prefixes, reading_curves, rounded
from spectraledge.store import DamagedError, RunFolder, canonical_json, signature
from spectraledge.training import RunSpec

__all__ = ["Row", "failed_row", "stored_row"]

Array = NDArray[Any]
State = Literal["done", "decided", "failed"]
# Accuracies take few distinct values and compress well; of the losses one is enough.
KEPT_LOSSES = frozenset({"validation_loss"})


@dataclass(frozen=True)
class Row:
    """One run of a sweep.

    Args:
        signature: Identity of the spec.
        name: Readable name of the run.
        spec_json: Canonical JSON of the spec.
        state: ``done`` took all steps, ``decided`` was stopped when its outcome was known,
            ``failed`` ended in an error every time it was tried.
        curves: Metrics by name with their ``step``, and what instruments measured as
            ``instrument/output`` with its ``instrument/step``; see `reading_curves`.
        seconds: Computing time.
        threads: CPU threads of one operation.
        device: Device of the computation.
        machine: System and architecture.
        finished: When, ISO 8601.
        versions: Version of Python and of each package that can change a result.
        failure: Traceback of the error of a failed run, else empty.
    """

    signature: str
    name: str
    spec_json: str
    state: State
    curves: Mapping[str, Array]
    seconds: float = 0.0
    threads: int = 0
    device: str = ""
    machine: str = ""
    finished: str = ""
    versions: Mapping[str, str] | None = None
    failure: str = ""

    def curve(self, name: str) -> tuple[Array, Array]:
        """Steps ``(T,)`` and values ``(T,)`` of a metric or of an instrument's output.

        Args:
            name: e.g. ``validation_accuracy`` or ``weight_spectrum/stable_rank``.

        Returns:
            Two arrays.

        Raises:
            KeyError: If there is no such curve; lists those that there are.
        """
        if name not in self.curves:
            raise KeyError(f"no curve {name!r} in {self.name}; known: {', '.join(self.curves)}")
        return self.curves[_step_name(name)], self.curves[name]

    @property
    def diverged_at(self) -> int | None:
        """Step at which loss or gradient stopped being finite; None if it never did."""
        lost = int(np.max(self.curves["lost_at"], initial=-1))
        return None if lost < 0 else lost

    @property
    def steps_taken(self) -> int:
        """Last recorded step."""
        return int(np.max(self.curves["step"], initial=0))

    def until(self, decision: Decision | None) -> Row:
        """The row as it stands at the decision; the same for a run that was trained further."""
        if decision is None or self.state == "failed":
            return self
        step = decision.decided_at(self.curves)
        if step is None or step >= self.steps_taken:
            return self
        kept = {n: v[self.curves[_step_name(n)] <= step] for n, v in self.curves.items()}
        # An instrument whose turn had not come by then has no curves.
        return replace(self, state="decided", curves={n: v for n, v in kept.items() if len(v)})

    def with_readings_of(self, other: Row) -> Row:
        """The row with the curves of instruments that only another row of the same run has."""
        own = {_instrument(name) for name in self.curves}
        more = {n: v for n, v in other.curves.items() if _instrument(n) not in own}
        return replace(self, curves={**self.curves, **more}) if more else self

    def answers(self, decision: Decision | None) -> bool:
        """Whether the run was trained as far as is asked."""
        if self.state != "decided":
            return True
        return decision is not None and decision.decided_at(self.curves) is not None


def _instrument(name: str) -> str:
    """What measured a curve; of metrics nothing."""
    return name.rpartition("/")[0]


def _step_name(name: str) -> str:
    instrument, slash, _ = name.rpartition("/")
    return f"{instrument}{slash}step"


def stored_row(spec: RunSpec, plan: Plan) -> Row | None:
    """The row of a run that is stored, whole and trained and measured as far as `plan` asks.

    Args:
        spec: The run.
        plan: Where it is stored, what was to be measured and when it is decided.

    Returns:
        The row, cut at the decision; None if the run must be trained, further or again.

    Raises:
        RuntimeError: If its folder belongs to another spec with the same signature.
    """
    folder = plan.folder(spec)
    try:
        return _row_of(spec, folder, plan)
    except (DamagedError, FileNotFoundError):
        # Whoever trains it will report and replace what is damaged, or is replacing it just now.
        return None


def _row_of(spec: RunSpec, folder: RunFolder, plan: Plan) -> Row | None:
    state = folder.status().state
    if state not in ("done", "partial") or not folder.has_origin():
        return None
    curves = _thinned(spec, folder, plan)
    if state == "partial" and (plan.until is None or plan.until.decided_at(curves) is None):
        return None
    # A run that stopped at its decision can be measured again only if it kept its snapshots.
    measurable = state == "done" or bool(folder.snapshot_steps())
    if measurable and _lacks_reading(folder, plan, curves):
        return None
    origin = folder.read_origin()
    row = Row(
        folder.signature,
        run_name(spec),
        canonical_json(spec),
        "done" if state == "done" else "decided",
        curves,
        seconds=round(origin.seconds, 2),
        threads=origin.threads,
        device=origin.device,
        machine=origin.machine,
        finished=origin.finished,
        versions=dict(origin.versions),
    )
    return row.until(plan.until)


def failed_row(spec: RunSpec, failure: str) -> Row:
    """The row of a run that failed every time it was tried."""
    empty = {"step": np.zeros(0, dtype=np.int64), "lost_at": np.zeros(0, dtype=np.int64)}
    return Row(
        signature(spec), run_name(spec), canonical_json(spec), "failed", empty, failure=failure
    )


def _thinned(spec: RunSpec, folder: RunFolder, plan: Plan) -> dict[str, Array]:
    # What decides stays exact, so that the row is decided when the run was.
    exact = {plan.until.metric} if plan.until is not None else set()
    curves = {n: v for n, v in folder.read_curves().items() if _is_kept(n) or n in exact}
    for name in KEPT_LOSSES & set(curves) - exact:
        curves[name] = rounded(curves[name])
    for instrument, prefix in curve_prefixes([bare(m) for m in plan.instruments]).items():
        curves |= reading_curves(spec, folder, instrument, prefix)
    return curves


def _is_kept(name: str) -> bool:
    return "accuracy" in name or name in KEPT_LOSSES or name in ("step", "lost_at")


def _lacks_reading(folder: RunFolder, plan: Plan, curves: Mapping[str, Array]) -> bool:
    """Whether an instrument whose turn came has measured nothing, e.g. as nobody asked it to."""
    for measured in plan.instruments:
        _, due = with_cadence(measured)
        if not any(due(int(step)) for step in curves["step"]):
            continue
        if not is_measured(folder, measured, plan.until):
            return True
    return False
