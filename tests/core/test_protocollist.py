"""Lists of protocols: what Postfix would not accept in one, and how it is written right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.protocollist import VERSIONS, allowed, newest_needed, read_words, rewritten, stray_characters

# list, the wrong words with their right spelling, rewritten for 3.6, rewritten for any version
LISTS: tuple[tuple[str, dict[str, str | None], str, str], ...] = (
    (">=TLSv1", {}, ">=TLSv1", "!SSLv2, !SSLv3"),
    ("!SSLv2, !SSLv3, !TLSv1, !TLSv1.1", {}, ">=TLSv1.2", "!SSLv2, !SSLv3, !TLSv1, !TLSv1.1"),
    ("!sslv2:!SSLV3", {}, ">=TLSv1", "!SSLv2, !SSLv3"),
    ("TLSv1.2, TLSv1.1, !TLSv1, !SSLv2, !SSLv3", {}, ">=TLSv1.1", "!SSLv2, !SSLv3, !TLSv1"),
    ("!SSLv2, TLSv9", {"TLSv9": None}, ">=TLSv1", "!SSLv2, !SSLv3"),
    ("TLSv1.0", {"TLSv1.0": "TLSv1"}, ">=TLSv1", "!SSLv2, !SSLv3"),
    (">=TLSv1.0", {">=TLSv1.0": ">=TLSv1"}, ">=TLSv1", "!SSLv2, !SSLv3"),
    ("!SSLv2 !TLS1.1", {"!TLS1.1": "!TLSv1.1"}, ">=TLSv1, !TLSv1.1", "!SSLv2, !SSLv3, !TLSv1.1"),
    (">= TLSv1.2", {">= TLSv1.2": ">=TLSv1.2"}, ">=TLSv1.2", "!SSLv2, !SSLv3, !TLSv1, !TLSv1.1"),
    ("! SSLv3", {"! SSLv3": "!SSLv3"}, ">=TLSv1", "!SSLv2, !SSLv3"),
    (">TLSv1.1", {">TLSv1.1": ">=TLSv1.2"}, ">=TLSv1.2", "!SSLv2, !SSLv3, !TLSv1, !TLSv1.1"),
    ("all -SSLv3 -TLSv1", {"all": None, "-SSLv3": "!SSLv3", "-TLSv1": "!TLSv1"}, ">=TLSv1.1", "!SSLv2, !SSLv3, !TLSv1"),
    ("≥TLSv1.2", {"≥TLSv1.2": ">=TLSv1.2"}, ">=TLSv1.2", "!SSLv2, !SSLv3, !TLSv1, !TLSv1.1"),
    ("TLSv1_2 TLSv13", {"TLSv1_2": "TLSv1.2", "TLSv13": "TLSv1.3"}, ">=TLSv1.2", "!SSLv2, !SSLv3, !TLSv1, !TLSv1.1"),
    (">=TLSv1.2, <=TLSv1.2", {}, ">=TLSv1.2, !TLSv1.3", "!SSLv2, !SSLv3, !TLSv1, !TLSv1.1, !TLSv1.3"),
    (">=0x0303", {}, ">=TLSv1.2", "!SSLv2, !SSLv3, !TLSv1, !TLSv1.1"),
    ("0303", {"0303": None}, ">=TLSv1", "!SSLv2, !SSLv3"),
    ("!", {"!": None}, ">=TLSv1", "!SSLv2, !SSLv3"),
    ("", {}, ">=TLSv1", "!SSLv2, !SSLv3"),
)


@pytest.mark.parametrize(("text", "wrong", "new", "old"), LISTS, ids=[row[0] or "empty" for row in LISTS])
def test_a_list_is_written_right(text: str, wrong: dict[str, str | None], new: str, old: str) -> None:
    assert {word.seen: word.right for word in read_words(text) if word.is_wrong} == wrong
    assert rewritten(text) == (new, old)


def test_what_looks_like_a_separator_is_found() -> None:
    assert stray_characters("!SSLv2;!SSLv3") == [";"]
    assert stray_characters("!SSLv2, !SSLv3:!TLSv1") == []


@pytest.mark.parametrize(("text", "words"), [
    (">=TLSv1.2", "Postfix 3.6"), ("!TLSv1.3", "Postfix 3.4"), ("TLSv1.2", "OpenSSL 1.0.1"), ("!SSLv2, TLSv1", None),
])  # fmt: skip
def test_the_version_that_knows_every_word_is_named(text: str, words: str | None) -> None:
    needed = newest_needed(text)
    assert needed is None if words is None else needed is not None and words in needed


@given(st.text(alphabet='!<>=-+., :;TLSsv0123x"', max_size=60))
def test_what_is_written_right_is_right_and_no_weaker_than_the_default(text: str) -> None:
    for again in rewritten(text):
        assert not any(word.is_wrong for word in read_words(again))
        assert set(allowed(read_words(again))) <= set(VERSIONS[2:])


@given(st.lists(st.sampled_from(["!SSLv2", "!SSLv3", "!TLSv1", "!TLSv1.1", ">=TLSv1.1", ">=TLSv1.2", "<=TLSv1.2"])))
def test_both_spellings_mean_the_same_and_what_was_meant(words: list[str]) -> None:
    text = ", ".join(words)
    new, old = (allowed(read_words(spelling)) for spelling in rewritten(text))
    assert new == old == [version for version in allowed(read_words(text)) if version in VERSIONS[2:]]
