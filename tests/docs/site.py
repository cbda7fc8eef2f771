"""Builds the documents as a site in build/site, strictly, and follows every link of the result.

Needs the dependency group `docs`: `make docs-site` installs it. Exits with 1 when a page links to
nothing, or when the builder warns.
"""

from __future__ import annotations

import html.parser
import re
import shutil
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
# Page in the repository → page of the site; all of docs/ keep their names.
TOP = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
LINK = re.compile(r"\]\(([^)#:\s]+\.md)(#[^)\s]*)?\)")


IMAGES = "docs/images"  # as README.md links to them


def site_pages() -> dict[Path, str]:
    """Every document and its name on the site."""
    return {ROOT / name: page for name, page in TOP.items()} | {
        path: path.name for path in sorted(ROOT.glob("docs/*.md"))
    }


def rewrite_links(text: str, folder: Path, pages: dict[Path, str]) -> str:
    """The text of a page with its links to other pages as the site has them, all in one folder.

    Raises KeyError for a link to a page that the site lacks.
    """

    def as_on_the_site(match: re.Match[str]) -> str:
        target = (folder / match[1]).resolve()
        return f"]({pages[target]}{match[2] or ''})"

    return LINK.sub(as_on_the_site, text).replace(f"]({IMAGES}/", "](images/")


def stage_pages(build: Path) -> None:
    """Write the pages and the builder's settings to an empty `build`."""
    shutil.rmtree(build, ignore_errors=True)
    (build / "pages").mkdir(parents=True)
    shutil.copy(ROOT / "config" / "zensical.toml", build)
    shutil.copytree(ROOT / IMAGES, build / "pages" / "images")
    pages = site_pages()
    for path, page in pages.items():
        text = rewrite_links(path.read_text(encoding="utf-8"), path.parent, pages)
        (build / "pages" / page).write_text(text, encoding="utf-8")


class Anchors(html.parser.HTMLParser):
    """What a page of the site links to, and the anchors it has."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called by the parser for every tag."""
        for name, value in attrs:
            if value and name == "id":
                self.anchors.add(value)
            elif value and name in ("href", "src"):
                self.links.append(value)


def read_page(path: Path) -> Anchors:
    """The links and anchors of a page."""
    page = Anchors()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def broken_links(site: Path) -> Iterator[str]:
    """`page: link` for every link within the site that leads to no file or to no anchor."""
    pages = {path: read_page(path) for path in sorted(site.glob("*.html"))}
    for path, page in pages.items():
        if path.name == "404.html":  # its links begin with /, wherever the site will lie
            continue
        for link in page.links:
            url = urllib.parse.urlsplit(link)
            if url.scheme or url.netloc:
                continue
            target = (site / urllib.parse.unquote(url.path)).resolve() if url.path else path
            target = target / "index.html" if target.is_dir() else target
            anchor = urllib.parse.unquote(url.fragment)
            if not target.is_file() or (anchor and anchor not in pages[target].anchors):
                yield f"{path.name}: {link}"


def main(build: Path = BUILD) -> int:
    """Build and check; 1 when a link is broken."""
    stage_pages(build)
    zensical = Path(sys.executable).with_name("zensical")
    done = subprocess.run([zensical, "build", "--strict", "--clean"], cwd=build, check=False)
    if done.returncode:
        return 1
    broken = list(broken_links(build / "site"))
    print("\n".join(broken) or f"written: {build / 'site' / 'index.html'}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
