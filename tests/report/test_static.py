"""The SVG writer: valid XML, right pixels, round ticks, gaps kept."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from report.example_page import ARMS, COLOURS, example_panels
from spectraledge.report import Axes, Curve, Panel, Reference, write_svg
from spectraledge.report.scale import Scale
from spectraledge.report.static import HEIGHT, LEFT, TOP, WIDTH

SVG = "{http://www.w3.org/2000/svg}"


def drawn(path, panels, colours=COLOURS, **more):
    return ElementTree.fromstring(
        write_svg(panels, path, colours=colours, **more).read_text(encoding="utf-8")
    )


def texts(root):
    return [element.text for element in root.iter(f"{SVG}text")]


def one_panel(curve, references=(), **axes):
    return [Panel("p", [curve], Axes(**axes), references)]


def test_panels_titles_and_one_legend(tmp_path):
    root = drawn(tmp_path / "a.svg", example_panels(), title="The picture")
    found = texts(root)
    assert found[0] == "The picture"
    assert all(found.count(arm) == 1 for arm in ARMS)
    assert len(list(root.iter(f"{SVG}clipPath"))) == 3
    assert found.count("step") == 3


def test_a_line_runs_from_corner_to_corner(tmp_path):
    curve = Curve("a", np.array([0, 10]), np.array([[1.0, 3.0]]))
    axes = {"x_range": (0, 10), "y_range": (1, 3)}
    root = drawn(tmp_path / "a.svg", one_panel(curve, **axes), {"a": "#000000"})
    line = next(p for p in root.iter(f"{SVG}path") if p.get("stroke-width") == "2.6")
    assert line.get("d") == f"M{LEFT:.1f} {TOP + HEIGHT:.1f}L{LEFT + WIDTH:.1f} {TOP:.1f}"


def test_gaps_break_the_line_and_the_end_is_crossed(tmp_path):
    values = np.array([[1.0, 2.0, np.nan, 3.0, 4.0], [1.0, 2.0, np.nan, np.nan, np.nan]])
    curve = Curve("a", np.arange(5), values)
    root = drawn(tmp_path / "a.svg", one_panel(curve), {"a": "#000000"})
    seeds = next(p for p in root.iter(f"{SVG}path") if p.get("stroke-opacity"))
    assert seeds.get("d").count("M") == 3  # two stretches and one
    crosses = [p for p in root.iter(f"{SVG}path") if re.search("l8 8m0 -8l-8 8$", p.get("d"))]
    assert len(crosses) == 1


def test_text_is_escaped(tmp_path):
    name = "<p> & q"
    curve = Curve(name, np.arange(3), np.ones((1, 3)))
    references = [Reference(1.0, "a < b"), Reference(1.0, "c > d", "y")]
    root = drawn(tmp_path / "a.svg", one_panel(curve, references), {name: "#000000"}, title=name)
    assert {name, "a < b", "c > d"} <= set(texts(root))


def test_nothing_to_draw_is_still_a_picture(tmp_path):
    curve = Curve("a", np.array([0.0]), np.array([[np.nan]]))
    root = drawn(tmp_path / "a.svg", one_panel(curve, log_x=True, log_y=True), {"a": "#000000"})
    assert not re.search("nan|inf", ElementTree.tostring(root, encoding="unicode"))


def test_a_long_legend_takes_more_rows(tmp_path):
    arms = [f"a rather long name of an arm, number {i}" for i in range(6)]
    curves = [Curve(arm, np.arange(3), np.ones((1, 3))) for arm in arms]
    colours = dict.fromkeys(arms, "#000000")
    root = drawn(tmp_path / "a.svg", [Panel("p", curves, Axes())], colours)
    rows = {t.get("y") for t in root.iter(f"{SVG}text") if t.text in arms}
    assert len(rows) == 6  # one each: two would be wider than the panel
    assert float(max(rows, key=float)) < float(root.get("height"))


def test_empty_pictures_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one panel"):
        write_svg([], tmp_path / "a.svg", colours={})
    with pytest.raises(ValueError, match="at least one curve in panel 'p'"):
        Panel("p", [], Axes())


@pytest.mark.parametrize(
    ("limits", "log", "labels"),
    [
        ((0.0, 1.0), False, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        ((0.0, 4000.0), False, ["0", "1000", "2000", "3000", "4000"]),
        ((-0.3, 0.3), False, ["-0.2", "0", "0.2"]),
        ((1.5, 50.0), True, ["2", "5", "10", "20", "50"]),
        ((1e-6, 1.0), True, ["10⁻⁶", "10⁻⁵", "10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "1"]),
        ((1e-12, 1.0), True, ["10⁻¹²", "10⁻¹⁰", "10⁻⁸", "10⁻⁶", "10⁻⁴", "10⁻²", "1"]),
        ((10.0, 20.0), True, ["10", "12", "14", "16", "18", "20"]),
    ],
)
def test_ticks_are_round_numbers(limits, log, labels):
    scale = Scale.fit(np.array([]), limits, log, 0, 100, 0)
    assert [label for _, label in scale.ticks()] == labels


@pytest.mark.parametrize("exponent", [-30, -9, 0, 7, 30])
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("ratio", [1.0, 1.001, 3.0, 70.0, 1e9])
def test_ticks_are_few_and_inside(exponent, log, ratio):
    low = 1.7 * 10.0**exponent
    scale = Scale.fit(np.array([low, low * ratio]), None, log, 0, 100, 0.05)
    pixels = [float(scale(np.array(value))) for value, _ in scale.ticks()]
    assert 1 <= len(pixels) <= 8
    # A tick on the very edge may be off by rounding of the power of ten.
    assert min(pixels) >= -1e-6
    assert max(pixels) <= 100 + 1e-6
