"""Roles: which parameter of a model is a query, a key, an MLP matrix, an embedding, a norm.

A role is inferred from module structure: the type of the module that owns a parameter, and the
names on its path, each compared as a whole with known names. A bare substring never decides, so
``projection`` is not ``proj`` and ``keyboard`` is not ``key``.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

__all__ = ["ParameterKind", "ParameterRole", "named_tensors", "parameter_roles"]

ParameterKind = Literal[
    "query", "key", "value", "attention_output", "fused_qkv", "mlp", "conv",
    "embedding", "position", "head", "norm", "bias", "router", "adapter", "other",
]  # fmt: skip
_Meaning = tuple[ParameterKind, str]  # the kind, and the part's canonical name


def _dictionary(table: dict[Any, str]) -> dict[str, Any]:
    return {name: meaning for meaning, names in table.items() for name in names.split()}


_ANYWHERE: dict[str, _Meaning] = _dictionary({
    ("query", "query"): "query q_proj wq w_q to_q q_lin q_linear linear_q q_attn query_proj"
    " query_projection q_proj_weight",
    ("key", "key"): "key k_proj wk w_k to_k k_lin k_linear linear_k k_attn key_proj"
    " key_projection k_proj_weight",
    ("value", "value"): "value v_proj wv w_v to_v v_lin v_linear linear_v v_attn value_proj"
    " value_projection v_proj_weight",
    ("attention_output", "output"): "o_proj w_o to_out attn_out attn_output attention_output",
    ("fused_qkv", "qkv"): "c_attn qkv qkv_proj to_qkv wqkv w_qkv in_proj_weight query_key_value",
    ("fused_qkv", "kv"): "kv kv_proj to_kv wkv w_kv",
    ("mlp", "up"): "up up_proj fc1 c_fc fc_in lin1 linear1 linear_1 dense_h_to_4h w_up",
    ("mlp", "gate"): "gate_proj w_gate",
    ("mlp", "gate_up"): "gate_up gate_up_proj",
    ("mlp", "down"): "down down_proj fc2 fc_out lin2 linear2 linear_2 dense_4h_to_h w_down",
    ("embedding", "embedding"): "token_embedding embedding embeddings embed embed_tokens wte"
    " tok_embeddings word_embeddings token_embeddings token_type_embeddings cls_token mask_token",
    ("position", "position"): "position_embedding position_embeddings positional_embedding"
    " pos_embedding pos_embed pos_emb wpe embed_positions position positional_encoding"
    " relative_attention_bias relative_position_bias_table",
    ("adapter", "adapter"): "lora_a lora_b lora_embedding_a lora_embedding_b",
    ("router", "router"): "router",
    ("bias", "bias"): "bias in_proj_bias bias_k bias_v",
})  # fmt: skip
_IN_ATTENTION: dict[str, _Meaning] = _dictionary({
    ("query", "query"): "q",
    ("key", "key"): "k",
    ("value", "value"): "v",
    ("attention_output", "output"): "o wo out out_proj out_lin proj c_proj dense output",
    ("fused_qkv", "qkv"): "in_proj",
})  # fmt: skip
_IN_MLP: dict[str, _Meaning] = _dictionary({
    ("mlp", "up"): "w3 wi wi_1 w_in in_proj",
    ("mlp", "gate"): "gate w1 wi_0",
    ("mlp", "down"): "w2 wo w_out out_proj c_proj output",
})  # fmt: skip
_OUTSIDE_LAYERS: dict[str, _Meaning] = _dictionary({
    ("head", "head"): "head lm_head output output_layer output_projection proj_out unembed"
    " unembedding embed_out classifier logits readout score",
})  # fmt: skip
_FAMILY: dict[str, str] = _dictionary({
    "attention": "attention attn self_attn self_attention selfattention cross_attn mha"
    " cross_attention crossattention encdecattention encoder_attn multihead_attn",
    "mlp": "mlp ffn ff ffw feed_forward feedforward densereludense intermediate moe experts"
    " block_sparse_moe",
})  # fmt: skip
_NORM_NAME = re.compile(r"(\w+_)?(ln|norm|layernorm|rmsnorm|batchnorm)(\d+|_\w+)?")
_FUSED = {"qkv": ("query", "key", "value"), "kv": ("key", "value"), "gate_up": ("gate", "up")}
# Components that training wrappers add (torch.compile, DistributedDataParallel, checkpointing).
_WRAPPERS = frozenset({"_orig_mod", "module", "_checkpoint_wrapped_module"})


@dataclass(frozen=True)
class ParameterRole:
    """What one parameter is in its model.

    Args:
        name: Dotted name in the model (the first one, when the parameter is tied).
        kind: One of `ParameterKind`.
        layer: Index of the repeated block it belongs to; None outside the blocks.
        canonical: The same name across code bases, e.g. ``layer0.attention.query``; unique
            within a model (two that would coincide keep their own dotted names).
        reason: What decided the kind, for a reader.
        parts: Matrices fused along the output axis, in order, e.g. ``("query", "key", "value")``.
        transposed: True when the weight is stored ``(inputs, outputs)``, as in GPT-2's ``Conv1D``.
        aliases: Further names of the same tensor object (tied parameters).
    """

    name: str
    kind: ParameterKind
    layer: int | None
    canonical: str
    reason: str
    parts: tuple[str, ...] = ()
    transposed: bool = False
    aliases: tuple[str, ...] = ()


def parameter_roles(
    source: nn.Module | Mapping[str, Tensor] | Iterable[tuple[str, Tensor]],
) -> dict[str, ParameterRole]:
    """Role of every parameter, keyed by name; tied parameters appear once, under their first name.

    Args:
        source: A module, or named tensors (a state dict, ``model.named_parameters()``). Named
            tensors carry no module types, so their roles rest on names alone.

    Returns:
        Roles in the order of the parameters. A tied parameter that is an embedding or a head
        under any of its names has that role.

    Example:
        >>> layer = nn.TransformerEncoderLayer(8, 2, 16)
        >>> parameter_roles(layer)["self_attn.in_proj_weight"].parts
        ('query', 'key', 'value')
    """
    modules = dict(source.named_modules()) if isinstance(source, nn.Module) else {}
    named = named_tensors(source)
    siblings = defaultdict(set)
    for name, _ in named:
        path = name.removesuffix(".weight").split(".")
        for depth, component in enumerate(path):
            siblings[".".join(path[:depth])].add(component)
    same: dict[int, list[ParameterRole]] = defaultdict(list)
    for name, tensor in named:
        same[id(tensor)].append(_role(_place(name, tensor, modules, siblings)))
    roles = [_merge_tied(tied) for tied in same.values()]
    times = Counter(role.canonical for role in roles)
    repeated = [role for role in roles if times[role.canonical] > 1]
    own_name = {r.name: replace(r, canonical=r.name.removesuffix(".weight")) for r in repeated}
    return {role.name: own_name.get(role.name, role) for role in roles}


def named_tensors(
    source: nn.Module | Mapping[str, Tensor] | Iterable[tuple[str, Tensor]],
) -> list[tuple[str, Tensor]]:
    """Pairs (name, tensor) of a module's parameters or of named tensors, tied ones repeated.

    Args:
        source: A module, a mapping, or an iterable of pairs.

    Returns:
        The pairs in order, each name once.

    Raises:
        TypeError: If an element is no (name, tensor) pair, as with ``model.parameters()``.
    """
    if isinstance(source, nn.Module):
        return list(source.named_parameters(remove_duplicate=False))
    listed = source if isinstance(source, Iterable) else [source]
    pairs = list(listed.items() if isinstance(listed, Mapping) else listed)
    for pair in pairs:
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[1], Tensor)):
            raise TypeError(
                f"expected a module or (name, tensor) pairs, got an element of type "
                f"{type(pair).__name__}; pass the model itself or model.named_parameters()"
            )
    return list(dict(pairs).items())


@dataclass(frozen=True)
class _Place:
    """Where a parameter stands."""

    name: str
    path: tuple[str, ...]  # lower-case components, without a trailing "weight"
    classes: tuple[str, ...]  # class of the module that holds each component, "" where unknown
    siblings: frozenset[str]  # names beside this one
    owner: nn.Module | None
    dimensions: int

    @property
    def attribute(self) -> str:
        """Last component that is a name: ``to_out`` in ``attn.to_out.0.weight``."""
        return next((c for c in reversed(self.path) if not c.isdigit()), self.path[-1])

    @property
    def layer_at(self) -> int | None:
        """Position in the path of the layer index: the first number with a name after it."""
        names = [i for i, component in enumerate(self.path) if not component.isdigit()]
        return next((i for i in range(max(names, default=0)) if self.path[i].isdigit()), None)

    @property
    def context(self) -> str:
        """Innermost of "attention" and "mlp" around the parameter, or the empty string."""
        holders = ("", *self.path[:-1])
        for component, class_name in zip(reversed(holders), reversed(self.classes)):
            family = _FAMILY.get(component) or _class_family(class_name)
            if family:
                return family
        if any(_ANYWHERE.get(s, ("", ""))[0] in ("query", "fused_qkv") for s in self.siblings):
            return "attention"
        # BERT keeps its second MLP matrix in layer.N.output, next to layer.N.attention.output.
        return "mlp" if "output" in holders and self.layer_at is not None else ""


def _place(
    name: str, tensor: Tensor, modules: Mapping[str, nn.Module], siblings: Mapping[str, set[str]]
) -> _Place:
    path = name.removesuffix(".weight").split(".")
    holders = [".".join(path[:i]) for i in range(len(path))]
    classes = [type(modules[h]).__name__ if h in modules else "" for h in holders]
    kept = [i for i, component in enumerate(path) if component not in _WRAPPERS] or [0]
    return _Place(
        name=name,
        path=tuple(path[i].lower() for i in kept),
        classes=tuple(classes[i] for i in kept),
        siblings=frozenset(siblings[holders[-1]]) - {path[-1]},
        owner=modules.get(name.rpartition(".")[0]),
        dimensions=tensor.ndim,
    )


def _class_family(name: str) -> str:
    """Family by the last word of a CamelCase class name: a LlamaMLP is an "mlp"."""
    words = re.findall(r"[A-Z][a-z]+|[A-Z]+(?![a-z])", name) or [""]
    last = "feedforward" if words[-2:] == ["Feed", "Forward"] else words[-1].lower()
    return _FAMILY.get(last, "")


def _role(place: _Place) -> ParameterRole:
    kind, part, reason = _kind_by_module(place) or _kind_by_name(place)
    layer = None if place.layer_at is None else int(place.path[place.layer_at])
    # Under this name heads interleave query, key and value (GPT-NeoX, BLOOM, Falcon).
    parts = () if place.attribute == "query_key_value" else _FUSED.get(part, ())
    transposed = type(place.owner).__name__ == "Conv1D"
    canonical = _canonical(place, kind, part)
    return ParameterRole(place.name, kind, layer, canonical, reason, parts, transposed)


def _kind_by_module(place: _Place) -> tuple[ParameterKind, str, str] | None:
    """Kind, part and reason where the owner's type or the number of dimensions decides."""
    owner, owner_class = place.owner, type(place.owner).__name__
    if "parametrizations" in place.path:
        return "other", "", "parametrised: the stored tensor is not the weight in use"
    if re.search(r"Norm(\d+d)?$", owner_class):
        return "norm", "", f"parameter of {owner_class}"
    if place.dimensions < 2:
        named_norm = owner is None and any(_NORM_NAME.fullmatch(c) for c in place.path)
        bias = _ANYWHERE.get(place.attribute) == ("bias", "bias")
        return "norm" if named_norm else "bias" if bias else "other", "", "a vector"
    if isinstance(owner, nn.Embedding | nn.EmbeddingBag):
        kind, part = _ANYWHERE.get(place.attribute, ("embedding", ""))
        return "position" if kind == "position" else "embedding", part, f"weight of {owner_class}"
    if isinstance(owner, _ConvNd):
        return (
            ("conv" if owner.groups == 1 else "other"),
            "",
            f"{owner_class}, {owner.groups} groups",
        )
    return None


def _kind_by_name(place: _Place) -> tuple[ParameterKind, str, str]:
    """Kind, part and reason from whole components of the path."""
    attribute, context = place.attribute, place.context
    if attribute == "gate" and "experts" in place.siblings:
        return "router", "", "named 'gate' beside experts"
    table = {"attention": _IN_ATTENTION, "mlp": _IN_MLP}.get(context, {})
    if not context and place.layer_at is None:
        table = _OUTSIDE_LAYERS
    where = f" inside {context}" if context else ""
    for names in (_ANYWHERE, table):
        if attribute in names:
            return *names[attribute], f"named {attribute!r}{where}"
    if context == "mlp":
        return "mlp", place.path[-1], "matrix inside an MLP"
    return "other", "", f"{attribute!r} is no known name{where}"


def _canonical(place: _Place, kind: ParameterKind, part: str) -> str:
    at = place.layer_at
    prefix = [] if at is None else [f"layer{place.path[at]}"]
    rest = place.path if at is None else place.path[at + 1 :]
    if kind in ("query", "key", "value", "attention_output", "fused_qkv"):
        return ".".join([*prefix, "attention", part])
    if kind == "mlp":
        experts = [f"expert{b}" for a, b in pairwise(rest) if a == "experts" and b.isdigit()]
        return ".".join([*prefix, "mlp", *experts, part])
    return ".".join([*prefix, *rest])


def _merge_tied(tied: list[ParameterRole]) -> ParameterRole:
    first = next((r for r in tied if r.kind in ("embedding", "head")), tied[0])
    aliases = tuple(role.name for role in tied[1:])
    if not aliases:
        return first
    reason = f"{first.reason}; tied with {', '.join(aliases)}"
    return replace(first, name=tied[0].name, reason=reason, aliases=aliases)
