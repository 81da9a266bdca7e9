"""What a PyTorch optimizer's decoupled weight decay does to the weights, step by step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from spectraledge.snapshots import Layout

__all__ = ["DecayRecorder"]

# Optimizers that shrink weights by lr · weight_decay and have no flag that says so. Others of the
# same names, as of the transformers library, do not.
DECOUPLED = tuple(
    getattr(torch.optim, name) for name in ("Muon", "Adafactor") if hasattr(torch.optim, name)
)


class DecayRecorder:
    """Sums the displacement by weight decay, ``−Σ_t lr_t ω θ_t``, exactly, at every step.

    It hooks into the optimizer, so that schedules, parameter groups without decay, closures and
    steps that a gradient scaler leaves out are what they are. Weights of 16 bits are decayed in
    their own precision, as optimizers do that are not fused. It only reads.

    Args:
        model: The module that is trained.
        optimizer: Of its parameters, with decoupled decay (AdamW, Muon, Adafactor, or Adam with
            ``decoupled_weight_decay``), or without any.
        names: Parameters to record; those of the model that the optimizer does not have stand
            still.

    Raises:
        ValueError: For weight decay inside the gradient, which has no part of its own: what it
            does passes through moments and preconditioner.

    Cost: a copy and an addition of the recorded parameters a step, and as many float64 numbers.

    Example:
        >>> model = nn.Linear(2, 1, bias=False)
        >>> _ = nn.init.ones_(model.weight)
        >>> optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
        >>> recorder = DecayRecorder(model, optimizer, ["weight"])
        >>> model(torch.zeros(1, 2)).sum().backward()
        >>> optimizer.step()
        >>> recorder.take()
        tensor([[-0.0500, -0.0500]], dtype=torch.float64)
    """

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, names: Iterable[str]
    ) -> None:
        self._layout = Layout.of(model)
        parameters = dict(model.named_parameters())
        self._names = {id(parameters[name]): name for name in names}
        self._sums = {
            name: torch.zeros_like(parameters[name], dtype=torch.float64)
            for name in self._names.values()
        }
        for group in optimizer.param_groups:
            _check_decoupled(optimizer, group)
        self._before: dict[str, Tensor] = {}
        self._steps = 0
        self._hooks = (
            optimizer.register_step_pre_hook(self._look),
            optimizer.register_step_post_hook(self._add),
        )

    @torch.no_grad()
    def _look(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        for group in optimizer.param_groups:
            _check_decoupled(optimizer, group)
            for parameter in group["params"]:
                name = self._names.get(id(parameter))
                if name is not None and group.get("weight_decay", 0.0):
                    self._before[name] = parameter.detach().clone()

    @torch.no_grad()
    def _add(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
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
                    self._sums[name].add_(decayed.double() - before[name].double())

    @property
    def steps(self) -> int:
        """Steps of the optimizer since the last `take`, those that were left out as well."""
        return self._steps

    def take(self) -> Tensor:
        """The displacement since the last call, ``(1, P)``; NaN in parameters not recorded."""
        unknown = torch.full((1, self._layout.size), torch.nan, dtype=torch.float64)
        for name, total in self._sums.items():
            unknown[0, self._layout.span(name)] = total.flatten().cpu()
            total.zero_()
        self._steps = 0
        return unknown

    def state_dict(self) -> dict[str, Any]:
        """What was summed since the last `take`, and over how many steps."""
        sums = {name: total.clone() for name, total in self._sums.items()}
        return {"sums": sums, "steps": self._steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the sums of another recorder of the same parameters.

        Args:
            state: Of its `state_dict`.

        Raises:
            ValueError: For sums of other parameters.
        """
        if state["sums"].keys() != self._sums.keys():
            raise ValueError(
                f"DecayRecorder: expected sums of {sorted(self._sums)}, got {sorted(state['sums'])}"
            )
        for name, total in state["sums"].items():
            self._sums[name].copy_(total)
        self._steps = int(state["steps"])

    def remove(self) -> None:
        """Leave the optimizer as it was."""
        for hook in self._hooks:
            hook.remove()


def _check_decoupled(optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> None:
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
