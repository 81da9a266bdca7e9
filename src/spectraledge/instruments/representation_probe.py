"""How well a target is read off the representations of a layer, beside what chance reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import ClassVar

import torch
from torch import Tensor

from spectraledge.instruments.base import Instrument, Output, Window
from spectraledge.instruments.labelled_tokens import (
    Inspectable,
    LabelledTokens,
    Rows,
    held_out_runs,
    inspected,
    run_representations,
)
from spectraledge.instruments.probe_fits import READERS, ProbeScore, probe_scores, targets_of
from spectraledge.instruments.representations import probed_modules
from spectraledge.linalg.ridge import r_squared
from spectraledge.names import check_name
from spectraledge.snapshots import Layout

__all__ = ["RepresentationProbe", "probe_layer"]

AXES = ("module", "reader")
WHOLE = ""


def probe_layer(
    published: LabelledTokens,
    novel: LabelledTokens,
    reader: str,
    *,
    categorical: bool = False,
    seeds: int = 3,
) -> dict[str, float]:
    """One reader on one representation: both protocols, and controls of the scale-free one.

    Args:
        published: Tokens of all held-out rows, for the published protocol.
        novel: Tokens of rows that do not occur in training, for the scale-free one.
        reader: ``linear``, ``quadratic`` or ``mlp``, see `probe_scores`.
        categorical: Whether labels are names, read as one-hot targets by the scale-free protocol;
            the published one always takes them as numbers.
        seeds: Splits by row, >= 1; the mlp has one.

    Returns:
        The outputs of `RepresentationProbe` but for ``untrained``.
    """
    number = targets_of(published.labels, categorical=False)
    fixed = probe_scores(published.features, [number], reader, protocol="published")[0]
    splits = range(1 if reader == "mlp" else seeds)
    every = [_one_split(novel, reader, categorical, seed) for seed in splits]
    own, shuffled, alone = zip(*every)
    scores = [score.r_squared for score in own]
    return {
        "published_score": fixed.r_squared,
        "published_accuracy": fixed.accuracy,
        "score": _mean(scores),
        "lowest": min(scores),
        "highest": max(scores),
        "accuracy": _mean([score.accuracy for score in own]),
        "shuffled": _mean([score.r_squared for score in shuffled]),
        "random_direction": _mean([score.r_squared for score in alone]),
    }


def _one_split(
    tokens: LabelledTokens, reader: str, categorical: bool, seed: int
) -> tuple[ProbeScore, ProbeScore, ProbeScore]:
    """Score on the labels, on shuffled labels, and of one random direction on the labels."""
    target = targets_of(tokens.labels, categorical)
    chance = torch.Generator().manual_seed(seed)
    shuffled = target[torch.randperm(len(target), generator=chance)]
    direction = torch.randn(tokens.features.shape[1], 1, generator=chance).double()
    own, null = probe_scores(
        tokens.features, [target, shuffled], reader, sequence=tokens.sequence, seed=seed
    )
    line = tokens.features @ direction
    (alone,) = probe_scores(line, [target], reader, sequence=tokens.sequence, seed=seed)
    return own, null, alone


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


@dataclass(frozen=True)
class RepresentationProbe(Instrument):
    """Test R² of probes of the label at each token, from the representations of named modules.

    A fixed penalty on features as they are (``published``) measures how large features are as
    much as what they say; the scale-free score beside it does not change under h → c h. What a
    score means shows against its controls: labels in random order (a score of 0 or below), the
    same probe on the network before training, and one random direction of the representation.

    Args:
        modules: Modules to probe, with ``:input`` behind for what goes in; empty for every block.
        readers: Of ``linear``, ``quadratic`` and ``mlp``, see `probe_scores`.
        categorical: Whether labels are names, as the tokens of SCAN, and not numbers, as depths.
        rows: Held-out rows, >= 1; 300 are published, 500 for layer by layer.
        seeds: Splits by row that the scale-free score averages, >= 1; the mlp has one.
        padding: Token that marks positions to leave out of modules that stand at other positions
            than the labels (0 for the encoder of SCAN); those are probed for the row's first label.

    Raises:
        ValueError: For unknown readers or numbers out of range; at the first snapshot for unknown
            modules.

    Cost: on 300 rows of Dyck-1, two layers of 128: linear 0.4 s, quadratic 6 s, mlp 13 s a run, and
    at the first snapshot half as much again for the untrained network.

    Source: arXiv:2604.07380 for the published protocol. Differs from the published code in the
    order of the random split; scale-free protocol and controls are ours.
    """

    modules: tuple[str, ...] = ()
    readers: tuple[str, ...] = READERS
    categorical: bool = False
    rows: int = 300
    seeds: int = 3
    padding: int | None = None

    name: ClassVar[str] = "representation_probe"
    needs_problem: ClassVar[bool] = True
    outputs: ClassVar[Mapping[str, Output]] = {
        name: Output(meaning, axes=axes, each=True)
        for name, meaning, axes in (
            ("published_score", "test R², fixed penalty, features as they are", AXES),
            ("published_accuracy", "tokens right after rounding, same probe", AXES),
            ("score", "test R² of the scale-free probe, mean over splits", AXES),
            ("lowest", "lowest score of the splits", AXES),
            ("highest", "highest score of the splits", AXES),
            ("accuracy", "tokens right, scale-free probe", AXES),
            ("shuffled", "score on labels in random order", AXES),
            ("untrained", "score on the network before training", AXES),
            ("random_direction", "score of one random direction alone", AXES),
            ("spread", "root mean square deviation of a feature from its mean", ("module",)),
            ("readout_score", "R² of the label expected by the model itself", ()),
            ("readout_accuracy", "tokens that the model itself has right", ()),
        )
    }

    def __post_init__(self) -> None:
        for reader in self.readers:
            check_name("reader for RepresentationProbe", reader, READERS)
        if self.rows < 1 or self.seeds < 1 or not self.readers:
            raise ValueError(
                "RepresentationProbe: expected rows >= 1, seeds >= 1 and a reader, got "
                f"{self.rows}, {self.seeds} and {self.readers}"
            )

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Names of the modules and readers."""
        return {"module": self._modules(window.now.layout), "reader": self.readers}

    def measure(self, window: Window) -> dict[str, Tensor]:
        """All probes of the newest snapshot."""
        problem, layout = inspected(self.name, window), window.now.layout
        rows = list(held_out_runs(problem, self.rows, self.padding))
        if "untrained" not in window.memory:
            window.memory["untrained"] = self._untrained(problem, layout, rows)
        runs = [
            self._run(problem, layout, theta, own)
            for theta, own in zip(window.now.parameters, rows)
        ]
        arrays = {name: torch.stack([run[name] for run in runs]) for name in runs[0]}
        alive = window.now.parameters.isfinite().all(1).cpu()[:, None, None]
        return arrays | {"untrained": window.memory["untrained"].where(alive, nan)}

    def _modules(self, layout: Layout) -> tuple[str, ...]:
        return probed_modules("RepresentationProbe", self.modules, layout)

    def _run(
        self, problem: Inspectable, layout: Layout, theta: Tensor, rows: Rows
    ) -> dict[str, Tensor]:
        modules = self._modules(layout)
        found = run_representations(problem, layout, theta, rows.tokens, (*modules, WHOLE))
        scores = [
            {name: [reader[name] for reader in layer] for name in layer[0]}
            for layer in (self._layer(rows.labelled(found[name])) for name in modules)
        ]
        spread = [rows.labelled(found[name]).features.std(0, correction=0) for name in modules]
        arrays: dict[str, object] = {n: [layer[n] for layer in scores] for n in scores[0]}
        arrays["spread"] = [own.square().mean().sqrt().item() for own in spread]
        arrays |= _readout(rows.labelled(found[WHOLE]).novel())
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in arrays.items()}

    def _layer(self, tokens: LabelledTokens) -> list[dict[str, float]]:
        return [
            probe_layer(
                tokens, tokens.novel(), reader, categorical=self.categorical, seeds=self.seeds
            )
            for reader in self.readers
        ]

    def _untrained(self, problem: Inspectable, layout: Layout, rows: list[Rows]) -> Tensor:
        """Scores before training, first split only; NaN if the problem does not say."""
        modules = self._modules(layout)
        initial = getattr(problem, "initial_parameters", lambda: None)()
        if initial is None:
            return torch.full((len(rows), len(modules), len(self.readers)), nan).double()
        scores = []
        for theta, own in zip(initial, rows):
            found = run_representations(problem, layout, theta, own.tokens, modules)
            tokens = [own.labelled(found[name]).novel() for name in modules]
            scores.append([[self._first(layer, r) for r in self.readers] for layer in tokens])
        return torch.tensor(scores, dtype=torch.float64)

    def _first(self, tokens: LabelledTokens, reader: str) -> float:
        target = targets_of(tokens.labels, self.categorical)
        return probe_scores(tokens.features, [target], reader, sequence=tokens.sequence)[
            0
        ].r_squared


def _readout(tokens: LabelledTokens) -> dict[str, float]:
    """The model's own reading, a ceiling of every probe of it."""
    logits = tokens.features
    expected = logits.softmax(-1) @ torch.arange(logits.shape[1]).double()
    right = (logits.argmax(1) == tokens.labels).double().mean()
    known = bool(logits.isfinite().all())
    return {
        "readout_score": r_squared(tokens.labels.double()[:, None], expected[:, None]).item(),
        "readout_accuracy": right.item() if known else nan,
    }
