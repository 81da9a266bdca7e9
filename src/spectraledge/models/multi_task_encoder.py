"""The pre-LayerNorm encoder with one linear head for each of several tasks on the same input.

The multi-task version of the modular networks beside arXiv 2604.07380: the trunk of
`PreNormEncoder`, and at position 0 one head for each operation.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor, nn

from spectraledge.models.base import seeded
from spectraledge.models.encoder import PreNormEncoder, PreNormEncoderSpec

__all__ = ["MultiTaskEncoder", "MultiTaskEncoderSpec"]


class MultiTaskEncoder(PreNormEncoder):
    """Tokens ``(B, T)`` to logits ``(B, outputs, classes)``, all read at position 0.

    ``logits[:, k] = W_k LN(h_0) + c_k``. The heads lie below one another in one layer: W_k and c_k
    are rows ``k·classes`` to ``(k + 1)·classes`` of ``head.weight`` and ``head.bias``. A linear
    layer draws each entry by itself, with a bound that depends on its inputs alone, so they start
    as heads of their own would, and one product computes them all. Trunk, its initial values and
    its savings are those of `PreNormEncoder`.

    Args:
        spec: Sizes.
        vocabulary: Number of tokens.
        length: Number of positions T.
        classes: Number of logits of each head.
    """

    def __init__(
        self, spec: MultiTaskEncoderSpec, vocabulary: int, length: int, classes: int
    ) -> None:
        super().__init__(spec, vocabulary, length, spec.outputs * classes)
        self.outputs = spec.outputs

    def forward(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B outputs classes"]:
        """Logits of every head."""
        return self._of_heads(super().forward(tokens))

    def naive_forward(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B outputs classes"]:
        """The same logits without the savings: every position, every example."""
        return self._of_heads(super().naive_forward(tokens))

    def _of_heads(self, logits: Tensor) -> Tensor:
        return logits.unflatten(-1, (self.outputs, -1))


@dataclass(frozen=True)
class MultiTaskEncoderSpec(PreNormEncoderSpec):
    """Sizes of `MultiTaskEncoder`; the defaults are the published ones for two operations.

    Args:
        width: Residual width.
        layers: Number of blocks.
        heads: Attention heads; divides `width`.
        mlp_width: Hidden width of the MLP.
        outputs: Linear heads L, one for each label of a row, >= 2.

    Raises:
        ValueError: For sizes below 1, heads that do not divide the width or fewer than two
            outputs. A `Problem` refuses a task whose rows have another number of labels.

    Example:
        >>> for outputs in (2, 3):
        ...     spec = MultiTaskEncoderSpec(outputs=outputs)
        ...     model = spec.build(vocabulary=97, length=2, classes=97, seed=0)
        ...     print(sum(p.numel() for p in model.parameters()))
        302914
        315427
    """

    outputs: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.outputs < 2:
            raise ValueError(
                f"MultiTaskEncoderSpec: expected outputs >= 2, got {self.outputs}; for a single "
                "label a row take PreNormEncoderSpec"
            )

    def build(self, *, vocabulary: int, length: int, classes: int, seed: int) -> nn.Module:
        """A freshly initialised model with identical blocks."""
        with seeded(seed):
            return MultiTaskEncoder(self, vocabulary, length, classes)
