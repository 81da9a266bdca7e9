"""The data of arms: shapes are checked once, gaps and early ends are kept, colours are stable."""

import numpy as np
import pytest

from spectraledge.report import Axes, Curve, Outcome, Reference, Spectra, arm_colours
from spectraledge.report.colours import PALETTE, colour_of

STEPS = np.array([0.0, 200.0, 400.0])
VALUES = np.array([[0.1, 0.5, 0.9], [0.2, 0.6, np.nan], [0.3, np.nan, np.nan]])


def test_the_default_centre_never_is_a_median_over_survivors():
    np.testing.assert_array_equal(Curve("a", STEPS, VALUES).middle, [0.2, np.nan, np.nan])


def test_early_ends_are_the_last_values_of_seeds_that_others_outlive():
    assert Curve("a", STEPS, VALUES).early_ends == [(1, 1), (2, 0)]
    assert Curve("a", STEPS, VALUES[:, :1].repeat(3, axis=1)).early_ends == []
    never = np.array([[np.nan] * 3, [1.0, 2.0, np.nan]])
    assert Curve("a", STEPS, never).early_ends == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": np.array([0, 0, 1])}, "strictly increasing steps.*'a'"),
        ({"values": VALUES[:, :2]}, r"shape \(seeds, 3\), got \(3, 2\)"),
        ({"values": VALUES[0]}, r"shape \(seeds, 3\), got \(3,\)"),
        ({"lower": STEPS}, "both lower and upper for arm 'a', got only one"),
        ({"lower": STEPS + 1, "upper": STEPS}, "lower <= upper for arm 'a'; are they swapped"),
        ({"centre": STEPS[:2]}, r"centre of arm 'a' with shape \(3,\), got \(2,\)"),
        ({"seeds": (1, 2)}, r"expected 3 seeds for arm 'a', got \(1, 2\)"),
        ({"dash": "wavy"}, "dash 'solid', 'dash' or 'dot', got 'wavy'"),
    ],
)
def test_curves_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Curve(**({"arm": "a", "steps": STEPS, "values": VALUES} | change))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((2, 4)), r"shape \(3, K\), got \(2, 4\)"),
        (np.array([[1.0, 2.0]] * 3), "largest first; sort them"),
        (np.array([[1.0, -1.0]] * 3), "non-negative"),
    ],
)
def test_spectra_that_are_none_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Spectra("a", STEPS, values)


def test_relative_spectra_of_a_zero_matrix_are_undefined():
    spectra = Spectra("a", STEPS[:2], np.array([[4.0, 1.0], [0.0, 0.0]]))
    np.testing.assert_array_equal(spectra.relative, [[1.0, 0.25], [np.nan, np.nan]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": np.array([np.inf])}, "one value per run of arm 'a', finite or NaN"),
        ({"censored": np.array([True])}, r"3 censoring marks for arm 'a', got shape \(1,\)"),
        ({"lower": 1.0}, "both lower and upper"),
        ({"lower": 2.0, "upper": 1.0}, r"finite lower <= upper.*got \[2.0, 1.0\]"),
        ({"lower": -np.inf, "upper": 1.0}, "finite lower"),
        ({"seeds": (1,)}, "expected 3 seeds"),
    ],
)
def test_outcomes_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Outcome(**({"arm": "a", "values": STEPS} | change))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y_range": (1.0, 0.0)}, "y_range to increase"),
        ({"x_range": (0.0, 1.0), "log_x": True}, "positive x_range on a logarithmic axis"),
    ],
)
def test_impossible_axes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Axes(**arguments)


def test_impossible_references_are_refused():
    with pytest.raises(ValueError, match="finite reference value, got nan"):
        Reference(float("nan"), "r")
    with pytest.raises(ValueError, match="axis 'x' or 'y', got 'z'"):
        Reference(1.0, "r", "z")


def test_colours_are_distinct_and_limited():
    assert len(set(PALETTE)) == len(PALETTE)
    with pytest.raises(ValueError, match="at most 8 arms, got 9"):
        arm_colours([str(number) for number in range(9)])
    with pytest.raises(ValueError, match="distinct arm names"):
        arm_colours(["a", "a"])


def test_an_arm_without_a_colour_names_the_closest():
    with pytest.raises(KeyError, match=r"'LRD proximl'; known: L2, LRD proximal; did.*proximal"):
        colour_of("LRD proximl", arm_colours(["L2", "LRD proximal"]))


# Viénot, Brettel and Mollon (1999): linear RGB as seen without red or without green cones.
SEEN = {
    "normal": np.eye(3),
    "protanope": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
    "deuteranope": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
}


@pytest.mark.parametrize("eye", SEEN)
def test_colours_differ_for_every_eye(eye):
    """A colour difference of about 2 is just noticeable side by side; thin lines need more."""
    lab = np.array([_lab(colour, np.array(SEEN[eye])) for colour in PALETTE])
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    assert distance.min() > 10  # five times just noticeable


def test_colours_stand_out_from_white():
    luminance = np.array([_linear(colour) @ [0.2126, 0.7152, 0.0722] for colour in PALETTE])
    # Half of the 3:1 that the accessibility guidelines ask of graphics would be 1.5; the palest
    # two, orange and sky blue, reach 2 and are drawn as thick lines with a named legend.
    assert (1.05 / (luminance + 0.05)).min() > 2


def _linear(colour):
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _lab(colour, seen):
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ np.clip(seen @ _linear(colour), 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])
