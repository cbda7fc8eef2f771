"""What somebody may have meant who typed a word that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_SIMILAR = 0.6  # of 1: difflib's own idea of a good match


def near(word: str, known: Iterable[str]) -> str:
    """`; did you mean wallets?`, empty when no known word is similar."""
    by_case = {one.casefold(): one for one in known}
    bare = word.split("=", maxsplit=1)[0].casefold()
    matches = difflib.get_close_matches(bare, by_case, n=1, cutoff=_SIMILAR)
    return f"; did you mean {by_case[matches[0]]}?" if matches else ""
