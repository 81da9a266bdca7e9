"""The page is one file: plotly.js once, nothing fetched, everything escaped."""

import re
import sys
from html.parser import HTMLParser

import pytest
from plotly.offline import get_plotlyjs

from report.example_page import example_page
from spectraledge.report import Figure, Page, Section, Table, Verdict, render, write
from spectraledge.report.specs import compare_specs

EVIL = "<script>alert('x')</script>"


class Tags(HTMLParser):
    """All tags with their attributes, and the text of style elements."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.styles, self._in_style = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._in_style = tag == "style"

    def handle_data(self, data):
        if self._in_style:
            self.styles.append(data)


@pytest.fixture(scope="module")
def html():
    return render(example_page())


def test_plotly_is_there_exactly_once(html):
    assert html.count(get_plotlyjs()) == 1
    assert len(re.findall(r"plotly\.js v\d", html)) == 1


def test_nothing_remote_is_loaded(html):
    found = Tags(html)
    assert not {tag for tag, _ in found.tags} & {"link", "iframe", "img", "object", "embed", "base"}
    targets = [
        value
        for _, attributes in found.tags
        for name, value in attributes.items()
        if name in {"src", "href", "srcset", "action", "data", "poster"}
    ]
    assert targets
    assert all(target.startswith(("#", "../runs/")) for target in targets)
    assert not re.search(r"@import|url\(", "".join(found.styles))


def test_the_browser_is_told_to_fetch_nothing(html):
    policies = [a["content"] for tag, a in Tags(html).tags if tag == "meta" and "http-equiv" in a]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none';")
    assert "http" not in policies[0]


def test_text_from_outside_never_becomes_markup():
    figure = Figure(EVIL, EVIL, {"data": [{"name": EVIL, "y": [1]}], "layout": {}})
    page = Page(
        EVIL,
        EVIL,
        [Verdict(EVIL, EVIL, EVIL, "fails", EVIL)],
        [Section(EVIL, EVIL, [figure, Table([EVIL], [[EVIL]], EVIL)])],
        {EVIL: EVIL},
        [{EVIL: EVIL}],
        {EVIL: f"runs/{EVIL}#?"},
    )
    text = render(page).replace(get_plotlyjs(), "")
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
    # The figure, plotly.js and the drawing code: three elements opened, three closed.
    assert len(re.findall(r"<script[ >]", text)) == text.count("</script>") == 3
    assert 'href="runs/%3Cscript%3Ealert%28%27x%27%29%3C/script%3E%23%3F"' in text


def test_the_page_says_what_it_was_given(html):
    page = example_page()
    plain = re.sub(r"\s+", " ", html)
    for verdict in page.verdicts:
        for words in (verdict.claim, verdict.paper_value, verdict.observed, verdict.explanation):
            assert words in plain
    assert html.count('<span class="status">') == 3
    assert all(f'href="#section-{i}"' in html for i in (1, 2, 3))
    assert all(f'id="section-{i}"' in html for i in (1, 2, 3))
    assert html.count('href="../runs/') == 30


def test_an_empty_page_is_a_page():
    html = render(Page("Nothing yet"))
    assert "<h1>Nothing yet</h1>" in html
    assert "Verdicts" not in html


def test_cells_are_written_for_readers():
    table = Table(("a", "n"), [("x", 0.123456), ("y", None), ("z", float("nan"))])
    html = render(Page("p", sections=[Section("s", items=[table])]))
    cells = re.findall(r'<td class="(\w+)">(.*?)</td>', html)
    assert cells == [
        ("text", "x"), ("number", "0.1235"), ("text", "y"), ("number", "–"), ("text", "z"),
        ("number", "–"),
    ]  # fmt: skip


def test_specs_split_into_shared_and_differing_fields():
    specs = [
        {"model": {"width": 128, "heads": [1, 2]}, "seed": 0, "note": None},
        {"model": {"width": 128, "heads": [1, 2]}, "seed": 0.0, "extra": {}},
    ]
    shared, differing = compare_specs(specs)
    assert shared.rows == [("model.width", 128), ("model.heads", "[1, 2]")]
    assert differing.columns == ["seed", "note", "extra"]
    # 0 and 0.0 are different settings; null is not absence.
    assert differing.rows == [(0, "null", "(absent)"), (0.0, "(absent)", "{}")]
    assert compare_specs([]) == (None, None)


def test_write_replaces_in_one_move_and_makes_folders(tmp_path):
    path = write(Page("first"), tmp_path / "new" / "report.html")
    write(Page("second"), path)
    assert "<h1>second</h1>" in path.read_text(encoding="utf-8")
    assert [found.name for found in path.parent.iterdir()] == ["report.html"]


def test_a_failed_write_leaves_the_old_page_alone(tmp_path, monkeypatch):
    path = write(Page("first"), tmp_path / "report.html")
    before = path.read_bytes()

    def refuse(source, target):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        write(Page("second"), path)
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["report.html"]


def test_a_missing_dependency_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(ImportError, match=r"pip install 'spectraledge\[lab\]'"):
        render(Page("p"))
