"""Arguments of instruments by the types that they declare, without the check of types of tests."""

from dataclasses import dataclass
from math import nan
from typing import ClassVar

import numpy as np
import pytest
import torch

from spectraledge.instruments import Instrument, Output
from spectraledge.instruments.class_fourier import check_order


@dataclass(frozen=True)
class Typed(Instrument):
    """One field of each type that instruments have."""

    window: "int" = 5
    sketch: "int | None" = None
    step: "float" = 0.1
    method: "str" = "exact"
    kinds: "tuple[str, ...]" = ("query",)
    steps: "tuple[int, ...]" = (1, 2)
    anything: "dict[str, int] | None" = None

    name: ClassVar[str] = "typed"
    outputs: ClassVar[dict] = {"x": Output("x")}

    def __post_init__(self):
        if self.window < 2:
            raise ValueError(f"Typed: expected window >= 2, got {self.window}")

    def measure(self, window):
        return {"x": torch.zeros(window.now.runs).double()}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("window", 2.5, "Typed: expected window as int, got 2.5"),
        ("window", nan, "expected window as int, got nan"),
        ("window", True, "expected window as int, got True"),
        ("sketch", 64.5, r"expected sketch as int \| None, got 64.5"),
        ("step", "0.1", "expected step as float, got '0.1'"),
        ("method", 3, "expected method as str, got 3"),
        ("kinds", ["query"], r"expected kinds as tuple\[str, ...\], got \['query'\]"),
        ("steps", "12", r"expected steps as tuple\[int, ...\], got '12'"),
        ("steps", (1, 2.5), r"expected steps as tuple\[int, ...\], got \(1, 2.5\)"),
    ],
)
def test_other_types_are_refused_when_it_is_made(field, value, message):
    with pytest.raises(TypeError, match=message):
        Typed(**{field: value})


def test_nan_is_no_number():
    with pytest.raises(ValueError, match="Typed: expected a number for step, got nan"):
        Typed(step=nan)


def test_what_fits_is_taken_and_its_own_check_comes_after():
    found = Typed(window=np.int64(3), sketch=64, step=1, steps=(), anything={"a": 1})
    assert found.window == 3
    with pytest.raises(ValueError, match="expected window >= 2, got 1"):
        Typed(window=1)


@pytest.mark.parametrize(
    ("order", "modulus", "message"),
    [
        ("discrete_logarithm", None, r"Odd: expected modulus=p for order 'discrete_logarithm'"),
        ("discrete_logarithm", 12, "prime"),
        ("natrual", None, "unknown order of classes for Odd 'natrual'.*did you mean 'natural'"),
    ],
)
def test_orders_that_cannot_be_made_are_refused(order, modulus, message):
    with pytest.raises(ValueError, match=message):
        check_order("Odd", order, modulus)
    check_order("Odd", "discrete_logarithm", 13)
    check_order("Odd", "natural", None)
