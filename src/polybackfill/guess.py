"""What somebody may have meant who typed a word that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def near(word: str, known: Iterable[str]) -> str:
    """`; did you mean wallets?`, empty when no known word is similar."""
    by_case = {one.casefold(): one for one in known}
    found = difflib.get_close_matches(word.casefold(), by_case, n=1, cutoff=0.6)
    return f"; did you mean {by_case[found[0]]}?" if found else ""
