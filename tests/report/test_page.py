"""Pages, figures, tables and verdicts refuse what could not be shown, and say what to do."""

import pytest

from spectraledge.report import Figure, Page, Section, Table, Verdict

PLOT = {"data": [{"x": [0, 1], "y": [0, 1]}], "layout": {}}


def test_unknown_status_names_the_closest():
    with pytest.raises(ValueError, match=r"holds, fails, undecided, got 'hold'.*mean 'holds'"):
        Verdict("a claim", "1", "2", "hold")


def test_a_verdict_needs_an_observation():
    with pytest.raises(ValueError, match="observed of claim 'a claim' to say something"):
        Verdict("a claim", "1", " ", "holds")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_are_refused_where_the_figure_is_made(number):
    with pytest.raises(ValueError, match=r"plot of figure 'f' without NaN or infinite.*None"):
        Figure("f", "", {"data": [{"y": [number]}]})


def test_a_plot_that_is_no_json_is_refused():
    with pytest.raises(TypeError, match="plot of figure 'f' to be writable as JSON"):
        Figure("f", "", {"data": [{"y": {1, 2}}]})


def test_a_figure_without_data_says_how_to_make_one():
    with pytest.raises(ValueError, match=r"non-empty 'data'.*spectraledge\.report\.plots"):
        Figure("f", "", {"layout": {}})


def test_a_flat_figure_is_refused():
    with pytest.raises(ValueError, match="at least 120 pixels high, got 20"):
        Figure("f", "", PLOT, height=20)


def test_a_short_row_is_named():
    with pytest.raises(ValueError, match=r"expected 2 cells \(arm, step\), got \('L2',\) in row 2"):
        Table(("arm", "step"), [("LRD", 1), ("L2",)])


def test_a_table_without_columns_is_refused():
    with pytest.raises(ValueError, match="at least one column"):
        Table((), ())


def test_a_cell_of_another_type_says_how_to_convert_it():
    with pytest.raises(TypeError, match=r"in row 1, got \[1\] of type list; convert it with str"):
        Table(("arm",), [([1],)])


def test_a_section_takes_figures_and_tables_only():
    with pytest.raises(TypeError, match="items of section 's' to be Figure or Table, got str"):
        Section("s", items=["a figure"])


def test_a_section_needs_a_title():
    with pytest.raises(ValueError, match="title of a section to say something, got ''"):
        Section("")


@pytest.mark.parametrize(
    "path",
    ["/runs/a", "https://example.org/a", "javascript:alert(1)", "//example.org/a", "C:\\runs", ""],
)
def test_links_are_relative_paths(path):
    with pytest.raises(ValueError, match=r"link 'run' to be a path relative.*os\.path\.relpath"):
        Page("p", links={"run": path})


def test_a_spec_with_nan_is_refused():
    with pytest.raises(ValueError, match="spec 2 without NaN"):
        Page("p", specs=[{"lr": 1.0}, {"lr": float("nan")}])


def test_verdicts_of_another_kind_are_refused():
    with pytest.raises(TypeError, match="verdicts to be Verdict, got dict"):
        Page("p", verdicts=[{"claim": "c"}])
