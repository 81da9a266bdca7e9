"""The report in a real browser: drawn, movable, and nothing fetched but the file itself."""

import shutil
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from report.example_page import ARMS, COLOURS, example_page, example_panels, spectra
from spectraledge.experiments.base import find_experiment
from spectraledge.experiments.run import run_experiment, write_report
from spectraledge.report import Figure, write, write_svg
from spectraledge.training import Execution

pytestmark = pytest.mark.browser

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
FIGURES = [item for s in example_page().sections for item in s.items if isinstance(item, Figure)]
DRAWABLE = len(FIGURES)
# What is drawn of each trace: the shapes of its lines, areas and markers.
DRAWN = """figure => [...figure.querySelectorAll('.scatterlayer .trace')].map(trace =>
    [...trace.querySelectorAll('path')].map(path => path.getAttribute('d') || '').join(''))"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip(f"no Chromium on PATH (looked for {', '.join(NAMES)})")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        context = driver.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"), executable_path=CHROMIUM, args=FLAGS
        )
        yield context
        context.close()


class Watched:
    """A page with everything it asked for and complained about."""

    def __init__(self, browser, path, width, figures=DRAWABLE):
        self.uri = path.as_uri()
        self.page = browser.new_page()
        self.page.set_viewport_size({"width": width, "height": 900})
        self.requests, self.complaints = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.goto(self.uri)
        # Every figure is complete once its plot carries plotly's full data.
        self.page.wait_for_function(
            "count => document.querySelectorAll('.plot .main-svg .xtick').length > 0 && "
            "[...document.querySelectorAll('.plot')].filter(p => p._fullData).length == count",
            arg=figures,
        )

    def figure(self, words):
        return self.page.locator("figure", has_text=words)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write(example_page(), tmp_path_factory.mktemp("report") / "index.html")


@pytest.fixture(scope="module")
def report(browser, file):
    watched = Watched(browser, file, 1280)
    yield watched
    # At the very end, so that it covers everything the tests did on the page.
    assert (watched.requests, watched.complaints) == ([watched.uri], [])


def test_every_figure_is_drawn(report):
    for figure in FIGURES:
        paths = report.figure(figure.title).evaluate(DRAWN)
        assert len(paths) == len(figure.plot["data"]), figure.title
        assert all(paths), figure.title
        assert not any("NaN" in path for path in paths), figure.title


def test_the_verdict_cards_show(report):
    cards = report.page.locator(".card")
    assert cards.count() == 3
    for card, verdict in zip(cards.all(), example_page().verdicts):
        assert card.is_visible()
        text = card.inner_text()
        assert verdict.status.capitalize() in text
        assert all(w in text for w in (verdict.claim, verdict.paper_value, verdict.observed))
    tones = [card.evaluate("c => getComputedStyle(c).borderTopColor") for card in cards.all()]
    assert len(set(tones)) == 3


class Player:
    """The figure with the slider."""

    def __init__(self, report):
        self.mouse, self.wait = report.page.mouse, report.page.wait_for_function
        self.figure = report.figure("Singular values of")
        self.figure.scroll_into_view_if_needed()
        self.node = self.figure.locator(".plot").element_handle()

    def move(self, index):
        """Click on the slider where a step is, and wait until the figure is there."""
        rail = self.figure.locator(".slider-rail-touch-rect").bounding_box()
        steps = spectra()[0].steps.size
        self.mouse.click(
            rail["x"] + 4 + index / (steps - 1) * (rail["width"] - 8),
            rail["y"] + rail["height"] / 2,
        )
        self.reach(index)

    def reach(self, index):
        # The slider may be there before the frame is asked for, so one number must be there too.
        number = float(max(spectra()[0].relative[index][1], 1e-6))
        self.wait(
            "([node, index, number]) => node._fullLayout.sliders[0].active == index"
            " && !node._transitionData._frameQueue?.length && !node._transitioning"
            " && Math.abs(node._fullData[0].y[1] / number - 1) < 1e-5",
            arg=[self.node, index, number],
        )

    def check(self, index):
        """The numbers in the figure, and the words above the slider, are those of a step."""
        wanted = [np.maximum(arm.relative[index], 1e-6) for arm in spectra()]
        drawn = self.node.evaluate("node => node._fullData.map(trace => [...trace.y])")
        np.testing.assert_allclose(drawn, wanted, rtol=5e-6)  # six digits are written
        words = self.figure.locator(".slider-group").text_content()
        assert words.startswith(f"step {spectra()[0].steps[index]:.0f}")
        return self.figure.evaluate(DRAWN)


def test_the_slider_moves_the_spectra(report):
    player = Player(report)
    last = spectra()[0].steps.size - 1
    pictures = [player.check(last)]
    for index in (0, last // 2):
        player.move(index)
        pictures.append(player.check(index))
    for before, after in pairwise(pictures):
        assert all(line != moved for line, moved in zip(before, after))


def test_play_runs_from_the_first_to_the_last_step(report):
    player = Player(report)
    player.move(0)
    start = player.check(0)
    player.figure.locator(".updatemenu-button", has_text="play").click()
    player.reach(spectra()[0].steps.size - 1)
    assert player.check(-1) != start


def test_the_legend_toggles_a_whole_arm(report):
    figure = report.figure("Validation accuracy, ordered split")
    visible = (
        "node => node._fullData.filter(t => t.visible === true && t.legendgroup === '%s').length"
    )
    plot = figure.locator(".plot")
    before = plot.evaluate(visible % ARMS[0])
    assert before == 3  # band, seeds, centre
    figure.locator(".legendtoggle").first.click()
    report.page.wait_for_function(
        f"node => ({visible % ARMS[0]})(node) == 0", arg=plot.element_handle()
    )
    assert plot.evaluate(visible % ARMS[1]) == 3


def test_collapsed_parts_open(report):
    cell = report.page.get_by_role("cell", name="task.split").or_(
        report.page.get_by_role("columnheader", name="task.split")
    )
    assert not cell.is_visible()
    report.page.locator("summary", has_text="Specs of the runs").click()
    assert cell.is_visible()


def test_a_narrow_screen_needs_no_sideways_scrolling(browser, file):
    narrow = Watched(browser, file, 400)
    assert narrow.page.evaluate("document.documentElement.scrollWidth") == 400
    edges = narrow.page.evaluate(
        "[...document.querySelectorAll('.main-svg')].map(s => s.getBoundingClientRect().right)"
    )
    assert edges
    assert max(edges) <= 400
    assert (narrow.requests, narrow.complaints) == ([narrow.uri], [])


def test_nothing_can_be_fetched_even_if_asked(browser, file):
    """The policy in the page, not the good will of its code, keeps the network out."""
    watched = Watched(browser, file, 1280)
    watched.page.evaluate("""() => {
        const image = new Image(); image.src = 'http://127.0.0.1:9/a.png';
        const script = document.createElement('script'); script.src = 'http://127.0.0.1:9/a.js';
        document.head.append(script);
        return fetch('http://127.0.0.1:9/').catch(() => null);
    }""")
    refused = [text for text in watched.complaints if "Content Security Policy" in text]
    assert len(refused) >= 3


def test_text_of_the_svg_picture_stays_inside_and_apart(browser, tmp_path):
    path = write_svg(example_panels(), tmp_path / "picture.svg", colours=COLOURS, title="Title")
    page = browser.new_page()
    page.goto(path.as_uri())
    boxes = page.evaluate("""() => [...document.querySelectorAll('text')].map(text => {
        const box = text.getBoundingClientRect();
        return [text.textContent, box.left, box.right, box.top, box.bottom];
    })""")
    width = page.evaluate("document.documentElement.width.baseVal.value")
    height = page.evaluate("document.documentElement.height.baseVal.value")
    assert all(b[1] >= 0 and b[2] <= width for b in boxes)
    assert all(b[3] >= 0 and b[4] <= height for b in boxes)
    legend = sorted((b for b in boxes if b[0] in ARMS), key=lambda box: box[1])
    assert len(legend) == len(ARMS)
    # 26 pixels of line and a gap stand between the end of one name and the start of the next.
    assert all(b[1] - a[2] > 26 for a, b in pairwise(legend))


def test_the_page_of_a_real_experiment(browser, tmp_path):
    experiment = find_experiment("rank_collapse")
    results = run_experiment(experiment, "smoke", tmp_path, execution=Execution(compile=False))
    page = write_report(experiment, results, "smoke", tmp_path / "reports" / "real.html")
    figures = [item for s in page.sections for item in s.items if isinstance(item, Figure)]
    watched = Watched(browser, tmp_path / "reports" / "real.html", 1280, figures=len(figures))
    for figure in figures:
        paths = watched.figure(figure.title).first.evaluate(DRAWN)
        assert any(paths), figure.title
        assert not any("NaN" in path for path in paths), figure.title
    links = watched.page.locator("a[href^='..']").evaluate_all("all => all.map(a => a.href)")
    folders = [Path(urlsplit(link).path) for link in links]
    assert len(folders) == sum(len(runs) for runs in results.values())
    assert all((folder / "done").exists() for folder in folders)
    assert (watched.requests, watched.complaints) == ([watched.uri], [])
