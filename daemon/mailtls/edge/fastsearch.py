"""The fastest search there is here: PCRE2's, where its library is (every Debian), else Python's.

stringzilla, where it is installed (`pip install mailtls[fast]`), counts lines faster than either. All give the same
answers.
"""

from __future__ import annotations

from mailtls.core.search import PLAIN, Search
from mailtls.edge.pcre import patterns


def fastest() -> Search:
    """Return the search to use for large logs."""
    found = patterns()
    lines = PLAIN.lines if found is None else found.lines()
    try:
        from stringzilla import count  # type: ignore[import-not-found,unused-ignore]

        lines = lambda block: count(block, b"\n")  # noqa: E731
    except ImportError:
        pass
    return Search(PLAIN.gatherer, PLAIN.finder, lines) if found is None else Search(found.gatherer, found.finder, lines)
