"""Identity of a spec: equal for equal specs, different for different ones, for good."""

import enum
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, make_dataclass
from types import MappingProxyType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spectraledge.store import canonical_json, folder_name, from_canonical, signature, slug


@dataclass(frozen=True)
class Decay:
    strength: float
    scale: str = "adaptive"


@dataclass(frozen=True)
class Spec:
    modulus: int
    decay: Decay | None
    heads: tuple[int, ...] = (4, 4)
    extra: Mapping[str, object] = field(default_factory=dict)


PUBLISHED = Spec(113, Decay(5e-3), extra={"clip": None, "gain": True})
names = st.text(max_size=5).filter(lambda name: name != "type")
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(names, inner, max_size=4)
        | st.builds(
            Spec,
            st.integers(),
            st.none() | st.builds(Decay, st.floats(-1, 1)),
            extra=st.dictionaries(names, inner, max_size=2),
        )
    ),
    max_leaves=12,
)


def typed(value):
    """The value with the type of every part spelled out; -0.0 counts as 0.0."""
    if isinstance(value, Spec | Decay):
        return type(value), typed(vars(value))
    if isinstance(value, dict):
        return dict, {key: typed(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple, tuple(map(typed, value))
    return type(value), value + 0.0 if isinstance(value, float) else value


@given(values)
def test_json_round_trip_keeps_values_and_types(value):
    text = canonical_json(value)
    rebuilt = from_canonical(text, [Spec, Decay])
    assert typed(rebuilt) == typed(value)
    assert canonical_json(rebuilt) == text


@given(values, values)
def test_equal_texts_mean_equal_specs(first, second):
    assert (canonical_json(first) == canonical_json(second)) == (typed(first) == typed(second))


def test_golden_signature():
    """Changing this orphans every stored run: it must never happen by accident."""
    assert canonical_json(PUBLISHED) == (
        '{"decay":{"scale":"adaptive","strength":0.005,"type":"Decay"},'
        '"extra":{"clip":null,"gain":true},"heads":[4,4],"modulus":113,"type":"Spec"}'
    )
    assert signature(PUBLISHED) == "29fef065"


def test_signature_is_the_same_in_another_process():
    """One where neither pyarrow nor safetensors is loaded: only reading and writing needs them."""
    code = (
        "import sys; from spectraledge.store import signature; "
        "assert not {'pyarrow', 'safetensors'} & set(sys.modules); "
        "print(signature({'b': 1.5, 'a': (1, 'x')}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == signature({"a": (1, "x"), "b": 1.5})


def test_order_of_fields_and_keys_does_not_count():
    forward = make_dataclass("S", [("a", int), ("b", float)], frozen=True)
    backward = make_dataclass("S", [("b", float), ("a", int)], frozen=True)
    assert signature(forward(1, 2.0)) == signature(backward(2.0, 1))
    assert signature({"a": 1, "b": 2}) == signature(MappingProxyType({"b": 2, "a": 1}))


def test_zero_has_one_sign():
    assert signature(-0.0) == signature(0.0)


def test_types_count():
    alike = [1, 1.0, True, "1", (1,), {"1": 1}, ((1,),), None, "", (), {}, 0, 0.0, False]
    assert len({signature(value) for value in alike}) == len(alike)


def test_class_names_count():
    other = make_dataclass("Other", [("strength", float), ("scale", str)], frozen=True)
    assert signature(Decay(0.1, "a")) != signature(other(0.1, "a"))
    assert signature(Decay(0.1, "a")) != signature({"strength": 0.1, "scale": "a"})


def test_derived_fields_do_not_count():
    @dataclass(frozen=True)
    class Derived:
        width: int
        area: int = field(init=False, default=0)

    assert canonical_json(Derived(3)) == '{"type":"Derived","width":3}'
    assert from_canonical(canonical_json(Derived(3)), [Derived]) == Derived(3)


@pytest.mark.parametrize("value", [1e-300, 5e-324, 0.1 + 0.2, 1e22, 123456789.123456789, 2.0**70])
def test_floats_keep_every_bit(value):
    assert from_canonical(canonical_json(value), []) == value
    assert type(from_canonical(canonical_json(value), [])) is float


class Colour(enum.IntEnum):
    RED = 1


class Name(str):
    __slots__ = ()


@dataclass
class Loose:
    value: int


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": ({"b": [1]},)}, r"got builtins.list at spec\.a\[0\]\.b; .*tuple"),
        (Spec(7, Decay(np.float64(0.1))), r"got numpy.float64 at spec\.decay\.strength; .*float"),
        (np.int64(3), "got numpy.int64 at spec"),
        (torch.zeros(2), "got torch.Tensor at spec"),
        ({1}, "got builtins.set at spec"),
        (b"x", "got builtins.bytes at spec"),
        (1j, "got builtins.complex at spec"),
        (Colour.RED, "got .*Colour at spec"),
        (Name("x"), "got .*Name at spec"),
        (Decay, "got builtins.type at spec"),
        (Loose(1), r"expected frozen dataclasses in a spec, got Loose at spec; .*frozen=True"),
        ({1: 2}, "expected str keys at spec, got 1 of type int"),
    ],
)
def test_what_has_no_identity_is_refused_by_place_and_type(value, message):
    with pytest.raises(TypeError, match=message):
        canonical_json(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_only_finite_floats(value):
    with pytest.raises(ValueError, match=r"finite float at spec\.rate, got"):
        canonical_json({"rate": value})


def test_the_key_of_class_names_is_kept_free():
    with pytest.raises(
        ValueError, match=r"'type' is kept for class names, got it as a key at spec.a"
    ):
        canonical_json({"a": {"type": "Decay"}})


def test_rebuilding_names_unknown_classes():
    with pytest.raises(KeyError, match=r"unknown class 'Decay'; known: .*'Spec'.*; closest"):
        from_canonical(canonical_json(PUBLISHED), [Spec])


def test_rebuilding_refuses_other_fields():
    text = json.dumps({"type": "Decay", "strength": 0.1})
    with pytest.raises(
        ValueError, match=r"expected Decay to have the fields .*written by another version"
    ):
        from_canonical(text, [Decay])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("WeightSpectrum", "weight-spectrum"),
        ("  a / b\\c..  ", "a-b-c"),
        ("../../etc", "etc"),
        ("lr=1e-3, λ=0.5", "lr-1e-3-0.5"),
        ("Évariste", "evariste"),
        ("x" * 300, "x" * 80),
    ],
)
def test_slugs(name, expected):
    assert slug(name) == expected


@given(st.text())
def test_slugs_are_safe_file_names(name):
    try:
        result = slug(name)
    except ValueError:
        return
    assert set(result) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")
    assert result[0] not in "-."
    assert slug(result) == result


def test_an_empty_slug_is_refused():
    with pytest.raises(ValueError, match="a name with letters or digits, got '–…'"):
        slug("–…")


def test_folder_name_joins_both():
    assert folder_name("Rank collapse", PUBLISHED) == f"rank-collapse-{signature(PUBLISHED)}"
