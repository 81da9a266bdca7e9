"""What weight decay of PyTorch optimizers and low-rank decay do to the weights, step by step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from spectraledge.decay import LowRankDecay
from spectraledge.decay.attached import attached_decays
from spectraledge.snapshots import Layout

__all__ = ["DecayRecorder"]

WEIGHT_DECAY, LOW_RANK = "weight_decay", "low_rank"
# Optimizers that shrink weights by lr · weight_decay and have no flag that says so. Others of the
# same names, as of the transformers library, do not.
DECOUPLED = tuple(
    getattr(torch.optim, name) for name in ("Muon", "Adafactor") if hasattr(torch.optim, name)
)


class DecayRecorder:
    """Sums the displacements by weight decay and by low-rank decay, exactly, at every step.

    Weight decay is ``−Σ_t lr_t ω θ_t``. It hooks into the optimizers, so that schedules, parameter
    groups without decay, closures and steps that a gradient scaler leaves out are what they are.
    Weights of 16 bits are decayed in their own precision, as optimizers do that are not fused.
    Low-rank decay is what `LowRankDecay` changed, whenever it is attached and in whatever order. It
    only reads.

    Args:
        model: The module that is trained.
        optimizers: One or several, of its parameters, with decoupled decay (AdamW, Muon, Adafactor,
            or Adam with ``decoupled_weight_decay``), or without any.
        names: Parameters to record.
        low_rank: Low-rank decays that are stepped by hand; those attached to the optimizers are
            found.

    Raises:
        ValueError: For weight decay inside the gradient, which has no part of its own: what it
            does passes through moments and preconditioner; if no optimizer has any of the
            parameters.

    Cost: a copy and an addition of the recorded parameters a step, and as many float64 numbers.

    Example:
        >>> model = nn.Linear(2, 1, bias=False)
        >>> _ = nn.init.ones_(model.weight)
        >>> optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
        >>> recorder = DecayRecorder(model, optimizer, ["weight"])
        >>> model(torch.zeros(1, 2)).sum().backward()
        >>> optimizer.step()
        >>> recorder.take()["weight_decay"]
        tensor([[-0.0500, -0.0500]], dtype=torch.float64)
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Optimizer | Sequence[Optimizer],
        names: Iterable[str],
        *,
        low_rank: Iterable[LowRankDecay] = (),
    ) -> None:
        self._layout = Layout.of(model)
        every = [optimizers] if isinstance(optimizers, Optimizer) else list(optimizers)
        parameters = dict(model.named_parameters())
        self._names = {id(parameters[name]): name for name in names}
        _check_holds(every, parameters, self._names)
        self._recorded = {name: parameters[name] for name in self._names.values()}
        self._sums: dict[str, dict[str, Tensor]] = {WEIGHT_DECAY: self._nothing()}
        self._held: set[str] = set()
        self._before: dict[str, Tensor] = {}
        self._watched: dict[int, Any] = {}
        self._steps = 0
        self._hooks = []
        for optimizer in every:
            for group in optimizer.param_groups:
                _check_decoupled(optimizer, group)
            self._hooks.append(optimizer.register_step_pre_hook(self._look))
            self._hooks.append(optimizer.register_step_post_hook(self._add))
            self._watch(attached_decays(optimizer))
        self._watch(low_rank)

    def _nothing(self) -> dict[str, Tensor]:
        return {
            name: torch.zeros_like(parameter, dtype=torch.float64, requires_grad=False)
            for name, parameter in self._recorded.items()
        }

    def _watch(self, decays: Iterable[LowRankDecay]) -> None:
        for decay in decays:
            if id(decay) not in self._watched:
                watcher = _Watcher(self._names, self._low_rank_sums())
                # The decay itself is kept, so that its id stays its own.
                self._watched[id(decay)] = (decay, decay.watch(watcher))

    def _low_rank_sums(self) -> dict[str, Tensor]:
        if LOW_RANK not in self._sums:
            self._sums[LOW_RANK] = self._nothing()
        return self._sums[LOW_RANK]

    @torch.no_grad()
    def _look(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self._watch(attached_decays(optimizer))
        for group in optimizer.param_groups:
            _check_decoupled(optimizer, group)
            for parameter in group["params"]:
                name = self._names.get(id(parameter))
                if name is None:
                    continue
                self._held.add(name)
                if group.get("weight_decay", 0.0):
                    self._before[name] = parameter.detach().clone()

    @torch.no_grad()
    def _add(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        # Only now, since a closure makes the gradients inside of the step.
        skipped = getattr(optimizer, "found_inf", None)
        before, self._before = self._before, {}
        self._steps += 1
        if skipped is not None and float(skipped) > 0:
            return
        for group in optimizer.param_groups:
            rate = float(group["lr"]) * float(group.get("weight_decay", 0.0))
            for parameter in group["params"]:
                name = self._names.get(id(parameter), "")
                # The optimizers leave out parameters without a gradient, decay and all.
                if name in before and parameter.grad is not None:
                    # In the precision of the weights: bfloat16 rounds a small decay away.
                    decayed = before[name] * (1 - rate)
                    change = decayed.double() - before[name].double()
                    self._sums[WEIGHT_DECAY][name].add_(change)

    @property
    def steps(self) -> int:
        """Steps of the optimizers since the last `take`, those that were left out as well."""
        return self._steps

    @property
    def unseen(self) -> tuple[str, ...]:
        """Recorded parameters that no optimizer which stepped since the last `take` has."""
        return tuple(name for name in self._recorded if name not in self._held)

    def take(self) -> dict[str, Tensor]:
        """Displacements since the last call by part, ``(1, P)``; NaN where not recorded.

        Returns:
            ``weight_decay``, and ``low_rank`` if there is such a decay.
        """
        taken = {part: self._flat(sums) for part, sums in self._sums.items()}
        for sums in self._sums.values():
            for total in sums.values():
                total.zero_()
        self._steps, self._held = 0, set()
        return taken

    def _flat(self, sums: Mapping[str, Tensor]) -> Tensor:
        unknown = torch.full((1, self._layout.size), torch.nan, dtype=torch.float64)
        for name, total in sums.items():
            unknown[0, self._layout.span(name)] = total.flatten().cpu()
        return unknown

    def state_dict(self) -> dict[str, Any]:
        """What was summed since the last `take`, over how many steps and of which parameters."""
        sums = {
            part: {name: total.clone() for name, total in own.items()}
            for part, own in self._sums.items()
        }
        return {"sums": sums, "steps": self._steps, "held": sorted(self._held)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the sums of another recorder of the same parameters.

        Args:
            state: Of its `state_dict`.

        Raises:
            ValueError: For sums of other parameters.
        """
        for part, sums in state["sums"].items():
            if sums.keys() != self._recorded.keys():
                raise ValueError(
                    f"DecayRecorder: expected sums of {sorted(self._recorded)}, got {sorted(sums)}"
                )
            own = self._low_rank_sums() if part == LOW_RANK else self._sums[part]
            for name, total in sums.items():
                own[name].copy_(total)
        self._steps, self._held = int(state["steps"]), set(state["held"])

    def remove(self) -> None:
        """Leave optimizers and decays as they were."""
        for hook in self._hooks:
            hook.remove()
        for _, stop in self._watched.values():
            stop()


class _Watcher:
    """Adds what one low-rank decay does to the sums."""

    def __init__(self, names: Mapping[int, str], sums: Mapping[str, Tensor]) -> None:
        self._names, self._sums = names, sums
        self._before: dict[str, Tensor] = {}

    def before(self, parameters: Sequence[Tensor]) -> None:
        named = ((self._names.get(id(p)), p) for p in parameters)
        self._before = {n: p.detach().double().clone() for n, p in named if n is not None}

    def after(self, parameters: Sequence[Tensor]) -> None:
        for parameter in parameters:
            name = self._names.get(id(parameter))
            if name is not None:
                self._sums[name].add_(parameter.detach().double() - self._before[name])
        self._before = {}


def _check_holds(
    optimizers: Sequence[Optimizer], parameters: Mapping[str, Tensor], names: Mapping[int, str]
) -> None:
    held = {id(p) for o in optimizers for group in o.param_groups for p in group["params"]}
    if names and not held & {id(parameter) for parameter in parameters.values()}:
        kinds = [type(optimizer).__name__ for optimizer in optimizers]
        raise ValueError(
            f"DecayRecorder: expected optimizers of this model, got {kinds} without any of its "
            "parameters; pass the ones that train it"
        )


def _check_decoupled(optimizer: Optimizer, group: dict[str, Any]) -> None:
    if not group.get("weight_decay", 0.0):
        return
    if group.get("decoupled_weight_decay", False) or isinstance(optimizer, DECOUPLED):
        return
    kind = type(optimizer).__name__
    raise ValueError(
        f"DecayRecorder: expected decoupled weight decay, got {kind} with weight_decay="
        f"{group['weight_decay']} inside the gradient, whose part of a step is not defined; use "
        "torch.optim.AdamW, or leave optimizer out of the Probe"
    )
