"""The sentence a coverage report begins with."""

from __future__ import annotations

from typing import cast

import pytest

from polybackfill.reports import coverage_figures, coverage_text


def part(
    name: str, *, complete: bool, set_aside: int = 0, keys: int = 9
) -> coverage_figures.PartFigures:
    """What the sentence is made of; the other figures do not matter to it."""
    figures = {"name": name, "complete": complete, "set_aside": set_aside, "keys": keys}
    return cast("coverage_figures.PartFigures", figures)


MARKETS = part("markets", complete=True)
SET_ASIDE = part("wallets", complete=True, set_aside=12)
BEGUN = part("positions", complete=False)
UNREAD = part("events", complete=False, keys=0)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([MARKETS], "Every part is proven complete."),
        ([BEGUN], "No part is proven complete yet."),
        ([UNREAD], "No part is proven complete yet."),
        ([MARKETS, UNREAD], "Proven complete: markets. Not read: events."),
        (
            [MARKETS, BEGUN, UNREAD],
            "Proven complete: markets. Not yet: positions. Not read: events.",
        ),
        ([MARKETS, BEGUN], "Proven complete: markets. Not yet: positions."),
        (
            [MARKETS, SET_ASIDE],
            "Proven complete: markets. Complete but for rows set aside: wallets (12 rows).",
        ),
        (
            [SET_ASIDE, BEGUN],
            "No part is proven complete yet. Complete but for rows set aside: wallets (12 rows). "
            "Not yet: positions.",
        ),
    ],
)
def test_rows_set_aside_are_never_called_proven(
    parts: list[coverage_figures.PartFigures], said: str
) -> None:
    assert coverage_text.conclusion(parts) == said
