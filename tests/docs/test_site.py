"""The site of the documents holds every page, and its links are followed to the anchor."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
from tests.docs import site

ROOT = Path(__file__).resolve().parents[2]
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:\s]*)#([^)\s]+)\)")
PAGES = sorted(site.site_pages())


def anchors_of(path: Path) -> set[str]:
    """The anchors that headings get: lower case, letters and digits and - alone, - for a space."""
    text = FENCED.sub("", path.read_text(encoding="utf-8"))
    plain = [re.sub(r"[^\w\- ]", "", title.lower()) for title in HEADING.findall(text)]
    return {title.strip().replace(" ", "-") for title in plain}


def pages_in(entries: list) -> list[str]:
    """The pages of a menu, however deep."""
    found = []
    for entry in entries:
        values = list(entry.values()) if isinstance(entry, dict) else [entry]
        for value in values:
            found += [value] if isinstance(value, str) else pages_in(value)
    return found


def test_the_menu_shows_every_page_once():
    text = (ROOT / "config" / "zensical.toml").read_text(encoding="utf-8")
    shown = pages_in(tomllib.loads(text)["project"]["nav"])
    assert sorted(shown) == sorted(site.site_pages().values())


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_to_a_heading_find_it(path):
    text = FENCED.sub("", path.read_text(encoding="utf-8"))
    for name, anchor in LINK.findall(text):
        target = (path.parent / name).resolve() if name else path
        assert anchor in anchors_of(target), f"{name}#{anchor}"


def test_links_between_pages_become_those_of_the_site():
    pages = {ROOT / "README.md": "index.md", ROOT / "docs" / "sql.md": "sql.md"}
    text = "[a](docs/sql.md#joins), [b](https://example.org/x.md), `](x`"
    assert "[a](sql.md#joins), [b](https://" in site.rewrite_links(text, ROOT, pages)
    text = site.rewrite_links("[up](../README.md)", ROOT / "docs", pages)
    assert text == "[up](index.md)"
    with pytest.raises(KeyError):
        site.rewrite_links("[gone](gone.md)", ROOT, pages)


def test_a_link_to_no_page_or_no_anchor_is_found(tmp_path):
    (tmp_path / "a.html").write_text('<h2 id="one"></h2><a href="b.html#two"></a><a href="#one">')
    (tmp_path / "b.html").write_text('<a href="a.html#none"></a><img src="c.png"><a href="#x">')
    assert list(site.broken_links(tmp_path)) == [
        "a.html: b.html#two",
        "b.html: a.html#none",
        "b.html: c.png",
        "b.html: #x",
    ]


@pytest.mark.skipif(
    importlib.util.find_spec("zensical") is None, reason="`make docs-site` installs the builder"
)
def test_the_site_is_built_without_a_warning(tmp_path, capfd):
    assert site.main(tmp_path / "build") == 0, capfd.readouterr()
    built = {path.stem for path in (tmp_path / "build" / "site").glob("*.html")}
    assert built >= {Path(page).stem for page in site.site_pages().values()}
