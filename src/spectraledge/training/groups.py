"""Named groups of parameters that updates refer to, from the model's structure."""

from __future__ import annotations

from torch import nn

from spectraledge.matrices import parameter_roles
from spectraledge.updates import Groups

__all__ = ["parameter_groups"]


def parameter_groups(model: nn.Module) -> Groups:
    """Groups of parameter names, ``all`` and those below.

    Args:
        model: A module of one run.

    Returns:
        Names by group. ``qk`` are query and key matrices, ``attention`` all of attention, ``mlp``
        the MLP matrices, ``matrices`` both inside blocks. ``not_qk`` is everything but query and
        key matrices, norm gains and embeddings included, which is what the published
        low-rank-decay baseline decays beside Q and K; ``not_attention`` leaves out all of
        attention. ``weights`` leaves out norm gains and biases, and ``other_weights`` also Q and
        K: what fair comparisons decay. ``fused_qkv`` are projections that hold Q, K and V below
        one another (three blocks of rows), and ``attention_output`` what follows. Groups may be
        empty.
    """
    roles = parameter_roles(model)
    names = tuple(name for name, _ in model.named_parameters())

    def having(*kinds: str) -> tuple[str, ...]:
        return tuple(name for name in names if roles[name].kind in kinds)

    qk = having("query", "key")
    attention = having("query", "key", "value", "attention_output", "fused_qkv")
    mlp = having("mlp")
    weights = tuple(name for name in names if roles[name].kind not in ("norm", "bias"))
    return {
        "all": names,
        "qk": qk,
        "not_qk": tuple(name for name in names if name not in qk),
        "weights": weights,
        "other_weights": tuple(name for name in weights if name not in qk),
        "attention": attention,
        "fused_qkv": having("fused_qkv"),
        "attention_output": having("attention_output"),
        "not_attention": tuple(name for name in names if name not in attention),
        "mlp": mlp,
        "matrices": tuple(name for name in names if name in attention + mlp),
    }
