"""Heat maps write every number in its cell, leave gaps where nothing was run, and can be read."""

import numpy as np
import plotly.graph_objects as go
import pytest

from report.test_arms import SEEN, _lab, _linear
from spectraledge.report import Figure, Grid, Page, Section, heat_map, write
from spectraledge.report.plots.heat_map import DIVERGING, SEQUENTIAL

WORDS = {"title": "t", "caption": "c", "quantity": "accuracy", "row_label": "fraction"}
ROWS = ("0.3", "0.4")
L2 = Grid("L2", ("0.1", "1", "10"), np.array([[0.3, 0.3, np.nan], [0.4, 0.4, 0.99]]), "strength")
LEAK = Grid("mirror", ("share",), np.array([[0.3], [0.4]]))


def figure(*grids, **changes):
    return heat_map(grids or (L2, LEAK), rows=ROWS, **(WORDS | changes))


def by_panel(plot):
    found = {}
    for trace in plot["data"]:
        found.setdefault(trace["meta"], []).append(trace)
    return found


def test_plotly_knows_every_attribute(tmp_path):
    assert isinstance(figure(), Figure)
    go.Figure(figure().plot).to_plotly_json()
    write(Page("t", sections=[Section("s", items=[figure()])]), tmp_path / "page.html")


def test_every_number_is_written_in_its_cell():
    cells, absent, text = by_panel(figure().plot)["L2"]
    assert cells["z"] == [[0.3, 0.3, None], [0.4, 0.4, 0.99]]
    assert cells["customdata"][1][2] == ["0.4", "10"]
    # What was not run is the complement: drawn where there is no number and nowhere else.
    assert absent["z"] == [[None, None, 0], [None, None, None]]
    assert text["text"] == ["0.300", "0.300", "not run", "0.400", "0.400", "0.990"]
    assert (text["x"], text["y"]) == ([0, 1, 2] * 2, [0, 0, 0, 1, 1, 1])


def test_panels_without_gaps_draw_none():
    assert len(by_panel(figure().plot)["mirror"]) == 2


def test_differences_have_signs_and_white_at_zero():
    grid = Grid("LRD - L2", ("a",), np.array([[0.25], [-0.5]]))
    plot = figure(grid, limits=(-1.0, 1.0), diverging=True, digits=2).plot
    assert plot["data"][-1]["text"] == ["+0.25", "-0.50"]
    scale = plot["layout"]["coloraxis"]["colorscale"]
    assert scale[len(scale) // 2] == [0.5, "#f7f7f7"]


@pytest.mark.parametrize("diverging", [False, True])
def test_numbers_can_be_read_on_every_colour(diverging):
    """4.5 : 1 is what the accessibility guidelines ask of text; black or white always has it."""
    limits, colours = ((-1.0, 1.0), DIVERGING) if diverging else ((0.0, 1.0), SEQUENTIAL)
    values = np.linspace(*limits, 41)
    grid = Grid("p", [str(v) for v in values], values[None])
    plot = heat_map([grid], rows=["r"], limits=limits, diverging=diverging, **WORDS).plot
    stops = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in colours])
    for value, ink in zip(values, plot["data"][-1]["textfont"]["color"]):
        mixed = [np.interp(value, np.linspace(*limits, len(colours)), s) for s in stops.T]
        ground = "#" + "".join(f"{round(channel):02x}" for channel in mixed)
        light, dark = sorted((_luminance(ground), _luminance(ink)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 4.5


def _luminance(colour):
    return float(_linear(colour) @ [0.2126, 0.7152, 0.0722])


def test_panels_share_rows_and_colours_and_are_as_wide_as_they_have_columns():
    layout = figure().plot["layout"]
    (left, right), (start, stop) = layout["xaxis"]["domain"], layout["xaxis2"]["domain"]
    assert (left, stop) == (0.0, 1.0)
    assert right < start
    # Domains are written with six digits.
    assert right - left == pytest.approx(3 * (stop - start), abs=1e-5)
    assert layout["yaxis"]["range"] == layout["yaxis2"]["range"] == [1.5, -0.5]  # first row on top
    assert [layout[f"yaxis{n}"]["showticklabels"] for n in ("", 2)] == [True, False]
    assert {t["coloraxis"] for t in figure().plot["data"] if "coloraxis" in t} == {"coloraxis"}


def test_names_are_shown_as_they_are():
    plot = heat_map([Grid("p < 1", ("<b>",), np.array([[1.0]]))], rows=["&"], **WORDS).plot
    assert plot["layout"]["annotations"][0]["text"] == "<b>p &lt; 1</b>"
    assert plot["layout"]["xaxis"]["ticktext"] == ["&lt;b&gt;"]
    assert plot["layout"]["yaxis"]["ticktext"] == ["&amp;"]


@pytest.mark.parametrize("eye", SEEN)
def test_colours_run_evenly_for_every_eye(eye):
    """Lightness says the order, and neighbours differ by far more than 2, just noticeable."""
    seen = np.array(SEEN[eye])
    lab = np.array([_lab(colour, seen) for colour in SEQUENTIAL])
    assert (np.diff(lab[:, 0]) > 5).all()
    away = np.array([_lab(colour, seen) for colour in DIVERGING])
    assert (np.diff(away[:3, 0]) > 5).all()
    assert (np.diff(away[2:, 0]) < -5).all()
    # The two ends must not be taken for each other.
    assert np.linalg.norm(away[0] - away[-1]) > 20


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grid("p", ("a",), np.ones((1, 2))), r"'p' with shape \(rows, 1\), got \(1, 2\)"),
        (lambda: Grid("p", (), np.ones((1, 0))), r"\(rows, 0\), got \(1, 0\)"),
        (lambda: Grid("p", ("a",), np.array([[np.inf]])), "or NaN in panel 'p', got infinity"),
        (lambda: heat_map([], rows=ROWS, **WORDS), "at least one panel in figure 't', got none"),
        (lambda: heat_map([L2], rows=("0.3",), **WORDS), "expected 1 rows in panel 'L2'.*got 2"),
        (lambda: figure(limits=(1.0, 0.0)), r"limits of figure 't' to increase, got \(1.0, 0.0\)"),
        (lambda: figure(diverging=True), r"symmetric about zero.*got \(0.0, 1.0\)"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
