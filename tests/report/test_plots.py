"""Figures draw what they were given: gaps stay gaps, bands are closed, the slider holds it all."""

import numpy as np
import plotly.graph_objects as go
import pytest

from report.example_page import COLOURS, SPLITS, accuracy, example_page, outcomes, spectra
from spectraledge.report import (
    Axes,
    Curve,
    Figure,
    Outcome,
    Reference,
    Spectra,
    curves,
    dots_with_intervals,
    spectra_slider,
)

STEPS = np.array([0.0, 200.0, 400.0, 600.0])
VALUES = np.array([[0.1, 0.5, 0.9, 1.0], [0.2, 0.6, np.nan, np.nan]])
BLUE = {"a": "#0072b2", "b": "#d55e00"}
WORDS = {"title": "t", "caption": "c", "colours": BLUE}


def plot_of(curve, **axes):
    return curves([curve], axes=Axes(**axes), **WORDS).plot


def traces_of(curve, **axes):
    return plot_of(curve, **axes)["data"]


@pytest.mark.parametrize(
    "figure",
    [item for s in example_page().sections for item in s.items if isinstance(item, Figure)],
    ids=lambda figure: figure.title,
)
def test_plotly_knows_every_attribute(figure):
    go.Figure({key: figure.plot[key] for key in ("data", "layout")}).to_plotly_json()
    for frame in figure.plot.get("frames", ()):
        go.Frame(frame)


def test_seeds_are_separate_and_end_where_they_end():
    seeds = traces_of(Curve("a", STEPS, VALUES, seeds=(4, 7)))[0]
    assert seeds["y"] == [0.1, 0.5, 0.9, 1, None, 0.2, 0.6, None, None, None]
    assert seeds["x"] == [0, 200, 400, 600, None] * 2
    assert seeds["customdata"] == [4] * 5 + [7] * 5


def test_the_end_of_a_seed_is_marked():
    _, ends, centre = traces_of(Curve("a", STEPS, VALUES, seeds=(4, 7)))
    assert (ends["x"], ends["y"], ends["customdata"]) == ([200], [0.6], [7])
    assert centre["y"] == pytest.approx([0.15, 0.55, None, None])  # rounding of the mean of two


def test_a_curve_with_nothing_to_draw_is_still_a_figure():
    plot = plot_of(Curve("a", STEPS, np.full((2, 4), np.nan)), log_y=True)
    assert all(value is None for trace in plot["data"] for value in trace["y"])


def test_a_band_is_closed_around_each_stretch():
    lower = np.array([0.0, 0.1, np.nan, 0.3])
    band = traces_of(Curve("a", STEPS, VALUES, lower=lower, upper=lower + 1))[0]
    assert band["fill"] == "toself"
    assert band["x"] == [0, 200, 200, 0, None, 600, 600, None]
    assert band["y"] == [0, 0.1, 1.1, 1, None, 0.3, 1.3, None]


def test_a_band_below_zero_reaches_down_on_a_logarithmic_axis():
    lower, upper = np.array([-1.0, 0.3, 0.4, -2.0]), np.array([1.0, 1.0, 1.0, -1.0])
    band = traces_of(Curve("a", STEPS, VALUES, lower=lower, upper=upper), log_y=True)[0]
    # 0.1 is the smallest positive number in VALUES; at the last step even the upper end is lost.
    assert band["y"] == [0.1, 0.3, 0.4, 1, 1, 1, None]


def test_bands_leave_at_the_bottom_of_the_whole_figure():
    below = {"lower": -np.ones(4), "upper": np.ones(4)}
    deeper = Curve("b", STEPS, VALUES / 100)
    data = curves([Curve("a", STEPS, VALUES, **below), deeper], axes=Axes(log_y=True), **WORDS)
    assert data.plot["data"][0]["y"] == [0.001] * 4 + [1] * 4 + [None]


def test_step_zero_has_no_place_on_a_logarithmic_axis():
    lower = np.zeros(4)
    traces = traces_of(Curve("a", STEPS, VALUES, lower=lower, upper=lower + 1), log_x=True)
    assert all(0 not in trace["x"] for trace in traces)


def test_the_legend_names_an_arm_once_and_holds_all_its_traces():
    both = [Curve("a", STEPS, VALUES, dash="dash"), Curve("a", STEPS, VALUES)]
    dotted = [Curve("b", STEPS, VALUES, dash="dot"), Curve("b", STEPS, VALUES, dash="dash")]
    traces = curves([*both, *dotted], axes=Axes(), **WORDS).plot["data"]
    named = [(t["name"], t["line"]["dash"]) for t in traces if t["showlegend"]]
    assert named == [("a", "solid"), ("b", "dot")]  # the first solid line, else the first
    assert {t["legendgroup"] for t in traces} == {"a", "b"}


def test_an_arm_keeps_its_colour_in_all_figures():
    seen = {}
    for section in example_page().sections:
        for figure in (item for item in section.items if isinstance(item, Figure)):
            for trace in figure.plot["data"]:
                drawn = {trace.get(part, {}).get("color") for part in ("line", "marker")}
                seen.setdefault(trace["meta"], set()).update(drawn - {None})
    assert seen == {arm: {colour} for arm, colour in COLOURS.items()}


def test_names_are_shown_as_they_are():
    name = '<b>p < 0.5</b> & "all"'
    curve = Curve(name, STEPS, VALUES)
    data = curves([curve], axes=Axes(), **(WORDS | {"colours": {name: "#000000"}})).plot["data"]
    assert data[-1]["name"] == '&lt;b&gt;p &lt; 0.5&lt;/b&gt; &amp; "all"'


def test_reference_lines_sit_at_their_value_on_both_scales():
    lines = [Reference(100.0, "x"), Reference(0.01, "y", "y")]
    layout = curves(
        [Curve("a", STEPS, VALUES)], axes=Axes(log_y=True), references=lines, **WORDS
    ).plot["layout"]
    # plotly places shapes by value but annotations by logarithm.
    assert [layout["shapes"][0]["x0"], layout["shapes"][1]["y1"]] == [100.0, 0.01]
    assert [layout["annotations"][0]["x"], layout["annotations"][1]["y"]] == [100.0, -2.0]


def test_the_slider_holds_every_spectrum_at_every_step():
    arms = spectra()
    plot = spectra_slider(arms, title="t", caption="c", colours=COLOURS).plot
    steps = plot["layout"]["sliders"][0]["steps"]
    assert [step["label"] for step in steps] == [f"{step:.0f}" for step in arms[0].steps]
    assert [step["args"][0] for step in steps] == [[frame["name"]] for frame in plot["frames"]]
    for t, frame in enumerate(plot["frames"]):
        for arm, drawn in zip(arms, frame["data"]):
            # Numbers are written with six digits, so half a unit in the sixth.
            np.testing.assert_allclose(drawn["y"], np.maximum(arm.relative[t], 1e-6), rtol=5e-6)
    assert [t["y"] for t in plot["data"]] == [d["y"] for d in plot["frames"][-1]["data"]]


def test_arms_with_other_steps_are_absent_where_they_have_no_spectrum():
    one = Spectra("a", np.array([0, 200]), np.array([[2.0, 1.0], [0.0, 0.0]]))
    other = Spectra("b", np.array([0, 100]), np.array([[2.0, 0.0], [2.0, 2.0]]))
    frames = spectra_slider([one, other], **WORDS).plot["frames"]
    drawn = {frame["name"]: [line["y"] for line in frame["data"]] for frame in frames}
    absent = [None, None]  # also for the zero matrix at step 200
    assert drawn == {
        "0": [[1, 0.5], [1, 1e-6]], "100": [absent, [1, 1]], "200": [absent, absent],
    }  # fmt: skip


def test_censored_runs_are_hollow_and_counted():
    outcome = Outcome(
        "a", np.array([800.0, 4000.0, np.nan]), np.array([False, True, False]), 900.0, 700.0, np.inf
    )
    plot = dots_with_intervals([outcome], label="step", **WORDS).plot
    interval, estimate, dots = plot["data"]
    assert dots["x"] == [800, 4000]
    assert dots["marker"]["symbol"] == ["circle", "triangle-right-open"]
    assert estimate["x"] == [900.0]
    assert interval["x"] == [700, pytest.approx(plot["layout"]["xaxis"]["range"][1], rel=5e-6)]
    assert "700 to beyond" in interval["hovertemplate"]
    label = plot["layout"]["annotations"][0]["text"]
    assert label == "<b>a</b>  1 of 3 not reached, 1 of 3 without a value"


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("split", SPLITS)
def test_all_outcomes_are_inside_the_axis(log, split):
    found = outcomes(split)
    plot = dots_with_intervals(found, title="t", caption="c", colours=COLOURS, label="s", log=log)
    low, high = plot.plot["layout"]["xaxis"]["range"]
    x = [v for trace in plot.plot["data"] for v in trace["x"]]
    x = np.log10(x) if log else np.array(x)
    # The arrow of an open interval ends on the edge, written with six digits.
    assert low < x.min()
    assert x.max() <= high * (1 + 5e-6)


def test_an_outcome_nobody_reached_is_still_a_figure():
    outcome = Outcome("a", np.array([np.nan, np.nan]))
    assert dots_with_intervals([outcome], label="s", **WORDS).plot["data"][0]["x"] == []


@pytest.mark.parametrize("maker", [spectra_slider, dots_with_intervals])
def test_arms_may_not_repeat(maker):
    arm = spectra()[0] if maker is spectra_slider else outcomes("ordered")[0]
    more = {} if maker is spectra_slider else {"label": "s"}
    with pytest.raises(
        ValueError, match=r"per arm in figure 't', got arms \['L2 as published', 'L"
    ):
        maker([arm, arm], title="t", caption="c", colours=COLOURS, **more)


def test_no_curves_and_no_floor():
    with pytest.raises(ValueError, match="at least one curve in figure 't'"):
        curves([], axes=Axes(), **WORDS)
    with pytest.raises(ValueError, match=r"floor in \(0, 1\), got 0"):
        spectra_slider(spectra(), title="t", caption="c", colours=COLOURS, floor=0.0)


def test_an_arm_without_a_colour_is_named():
    with pytest.raises(KeyError, match="no colour for arm 'L2 as published'; known: a, b"):
        curves(accuracy("ordered"), axes=Axes(), **WORDS)
