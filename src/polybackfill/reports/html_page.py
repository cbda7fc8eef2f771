"""Reports as HTML pages, from the templates beside this module; whatever is put in is escaped."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import jinja2
import markupsafe


def render(template: str, values: Mapping[str, object], *, version: str, command: str) -> str:
    """The page of `template` with these values; `command` is what wrote it."""
    return _environment().get_template(template).render(values, version=version, command=command)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("polybackfill.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = "{:,}".format
    return environment


def plain(text: str) -> markupsafe.Markup:
    """A text that is no markup, here or where the page is shown as Markdown."""
    return markupsafe.Markup(str(markupsafe.escape(text)).replace("[", "&#91;"))  # noqa: S704 - escaped
