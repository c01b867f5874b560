"""What a person reads: never wider than the screen, nothing of a stranger's obeyed, nothing cut."""

import ipaddress
import re
import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from mailtls.ctl import screen
from mailtls.ctl.screen import Screen

STRANGERS = st.text(st.characters() | st.sampled_from("\x1b\r\n\t\x07\x9b\u202e\u2066\udcff[]/:"), max_size=120)
NASTY = "\x1b[31mred\x07 [bold]loud[/bold] :smile: \u202etxt.exe \udcff \x9b2J\r\n"


def obeyed(character: str) -> bool:
    """Whether a terminal acts on it: control characters, line ends, directions, broken UTF-8."""
    directions = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    return unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} or (
        unicodedata.bidirectional(character) in directions
    )


def lines_of(rendered: str) -> list[str]:
    assert rendered.endswith("\n")
    return rendered.split("\n")[:-1]


@given(STRANGERS, st.sampled_from(["utf-8", "ascii", "iso-8859-1"]), st.booleans())
def test_nothing_that_a_stranger_wrote_is_obeyed(words: str, charset: str, colour: bool) -> None:
    rendered = Screen(width=80, colour=colour, charset=charset).render(
        screen.sentence("peer ", (words, screen.BAD)), screen.table(["COUNT", "NAME"], [["1", words]])
    )
    without_style = re.sub("\x1b\\[[0-9;]*m", "", rendered) if colour else rendered
    assert not any(obeyed(character) for line in lines_of(without_style) for character in line)


def test_markup_and_emoji_codes_stay_what_they_are() -> None:
    rendered = Screen(width=80, colour=True, charset="utf-8").render(screen.text(NASTY))
    assert "[bold]loud[/bold] :smile:" in rendered
    assert "\x1b[31m" not in rendered
    assert "\u202e" not in rendered


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.ip_addresses(), STRANGERS, STRANGERS), min_size=1, max_size=4),
    st.integers(60, 120),
)
def test_no_line_is_wider_than_the_screen_and_no_address_is_broken(
    rows: list[tuple[int, ipaddress.IPv4Address | ipaddress.IPv6Address, str, str]], width: int
) -> None:
    view = Screen(width=width, colour=False, charset="ascii")
    rendered = view.render(
        screen.table(
            ["COUNT", "ADDRESS", "NAME", "REASON"], [[screen.figure(n), str(ip), *rest] for n, ip, *rest in rows],
            numbers=2,
        )
    )  # fmt: skip
    assert all(len(line) <= width for line in lines_of(rendered))
    for _, ip, *_ in rows:
        assert str(ip) in rendered


@given(st.text("ab \u4e2d\u0301-", max_size=300), st.integers(2, 90))
def test_a_folded_text_fits_and_keeps_every_character_but_blanks(words: str, width: int) -> None:
    lines = list(screen.fold(words, width))
    assert all(cell_len(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == words.replace(" ", "")


def test_a_text_is_broken_between_words_where_it_can_be() -> None:
    assert list(screen.fold("one two  three", 9)) == ["one two", "three"]
    assert list(screen.fold("a " + "b" * 12, 9)) == ["a", "b" * 9, "b" * 3]
    assert list(screen.fold("  indented", 20)) == ["  indented"]
    assert list(screen.fold("", 20)) == [""]


@given(STRANGERS, STRANGERS, st.integers(60, 120), st.integers(0, 11))
def test_prose_says_the_same_in_colour_and_without(words: str, lead: str, width: int, indent: int) -> None:
    plain, loud = (Screen(width=width, colour=colour, charset="utf-8") for colour in (False, True))
    said = plain.prose(words, screen.QUIET, lead=lead, lead_style=screen.BAD, indent=indent)
    painted = loud.prose(words, screen.QUIET, lead=lead, lead_style=screen.BAD, indent=indent)
    assert re.sub("\x1b\\[[0-9;]*m", "", painted) == said
    assert all(cell_len(line) <= width for line in lines_of(said))
    assert not any(obeyed(character) for line in lines_of(said) for character in line)


def test_the_lead_of_prose_has_a_style_of_its_own() -> None:
    loud = Screen(width=80, colour=True, charset="utf-8")
    assert loud.prose("  mx", lead="192.0.2.7", lead_style=screen.BAD) == "\x1b[1;31m192.0.2.7\x1b[0m  mx\n"
    assert loud.prose(" words", screen.BAD, lead="a") == "a\x1b[1;31m words\x1b[0m\n"


def test_long_text_is_folded_never_shortened() -> None:
    name = "a" * 300
    rendered = Screen(width=80, colour=False, charset="utf-8").render(screen.table(["N", "NAME"], [["1", name]]))
    assert rendered.count("a") == 300


@pytest.mark.parametrize("charset", ["ascii", "iso-8859-1", "koi8-r"])
def test_a_locale_without_utf8_can_print_every_line(charset: str) -> None:
    rendered = Screen(width=80, colour=False, charset=charset).render(
        screen.heading("SERVER"), screen.table(["COUNT", "NAME"], [["1", "mx"]])
    )
    assert rendered.encode(charset)


@pytest.mark.parametrize(
    ("environment", "terminal", "wanted"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm"}, False, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({}, True, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    environment: dict[str, str], terminal: bool, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
    assert screen.colour_wanted() is wanted


def test_the_two_colour_choices_say_the_same_words() -> None:
    plain = Screen(width=80, colour=False, charset="utf-8").render(screen.text("words", screen.BAD))
    loud = Screen(width=80, colour=True, charset="utf-8").render(screen.text("words", screen.BAD))
    assert plain == "words\n"
    assert loud == "\x1b[1;31mwords\x1b[0m\n"


@pytest.mark.parametrize(("columns", "width"), [("10", 60), ("80", 80), ("100", 100), ("9999", 120), ("junk", 80)])
def test_the_width_is_what_columns_says_within_reason(
    columns: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("os.get_terminal_size", lambda _: (_ for _ in ()).throw(OSError))
    assert screen.screen_width() == width


MORNING = datetime(2026, 11, 21, 8, 44, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("first", "last", "spelled"),
    [
        (None, None, "no time stamps in the log"),
        (MORNING, MORNING, "2026-11-21 08:44"),
        (MORNING - timedelta(hours=8), MORNING, "2026-11-21 00:44 to 08:44"),
        (MORNING - timedelta(days=1), MORNING, "2026-11-20 08:44 to 2026-11-21 08:44"),
    ],
)
def test_a_span_of_time_is_spelled_shortly(first: datetime | None, last: datetime | None, spelled: str) -> None:
    assert screen.span(first, last) == spelled


def test_counts_agree_with_their_nouns() -> None:
    assert [screen.plural(n, "peer") for n in (0, 1, 2, 12345)] == ["0 peers", "1 peer", "2 peers", "12,345 peers"]
    assert screen.plural(2, "cipher suite of a kind", "kinds") == "2 kinds"
