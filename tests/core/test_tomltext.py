"""Where the keys of a TOML text stand."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.tomltext import Path, line_of, lines_of_keys

TEXT = '''# a comment with [brackets] and = signs
top = "a # no comment"
dotted.key = 1

[causes.peer_too_old]   # comment
action = "waive"
after = { sessions = 3, within = "24h" }

[limits]
automatic = [
    "legacy-rsa",  # [
    "legacy",
]
words = """
[not.a.table]
key = 1
"""
literal = \'\'\'
[[nor]]\'\'\'
["quoted.name"]
inner = [[1, 2], { deep = [3,
 4] }]

[[peer]]
network = "192.0.2.7"
[[peer]]
name = ".example.org"
[peer.more]
x = 1
[after]
last = "q\\"uote"
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("dotted",), 3),
        (("dotted", "key"), 3),
        (("causes",), 5),
        (("causes", "peer_too_old"), 5),
        (("causes", "peer_too_old", "action"), 6),
        (("causes", "peer_too_old", "after"), 7),
        (("causes", "peer_too_old", "after", "within"), 7),
        (("limits",), 9),
        (("limits", "automatic"), 10),
        (("limits", "automatic", 0), 11),
        (("limits", "automatic", 1), 12),
        (("limits", "words"), 14),
        (("limits", "literal"), 18),
        (("quoted.name",), 20),
        (("quoted.name", "inner", 0, 1), 21),
        (("quoted.name", "inner", 1, "deep", 0), 21),
        (("quoted.name", "inner", 1, "deep", 1), 22),
        (("peer",), 24),
        (("peer", 0), 24),
        (("peer", 0, "network"), 25),
        (("peer", 1), 26),
        (("peer", 1, "name"), 27),
        (("peer", 1, "more", "x"), 29),
        (("after", "last"), 31),
    ],
)
def test_every_key_has_its_line(path: Path, line: int) -> None:
    assert lines_of_keys(TEXT)[path] == line


def test_nothing_else_is_taken_for_a_key() -> None:
    assert set(lines_of_keys(TEXT)) == set(paths(tomllib.loads(TEXT)))


def test_what_has_no_line_stands_where_the_nearest_around_it_does() -> None:
    lines = lines_of_keys(TEXT)
    assert line_of(lines, ("peer", 1, "owner")) == 26
    assert line_of(lines, ("limits", "waivers", "x")) == 9
    assert line_of(lines, ("nowhere",)) is None
    assert line_of(lines, ()) is None


def paths(value: object, here: Path = ()) -> list[Path]:
    """Every path in a parsed TOML value."""
    inner: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path for key, one in inner for path in ((*here, key), *paths(one, (*here, key)))]


@given(st.text(alphabet="abc=[]{}\"'#\n.,1 \\", max_size=80))
def test_whatever_tomllib_accepts_is_placed_within_the_text(text: str) -> None:
    lines = lines_of_keys(text)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    known = [path for path in paths(values) if all(isinstance(part, int) or part.isalnum() for part in path)]
    assert set(known) <= set(lines)


def test_a_megabyte_of_quotes_and_brackets_is_read_in_linear_time() -> None:
    for piece in ('"', "'", "[", "a=[", '"\\', "'''", '"""', "a."):
        lines_of_keys(piece * 100_000)
