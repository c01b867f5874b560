"""Which hello belongs to which session: by address, port and time, and only where it is certain."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from mailtls.core import hellobook
from mailtls.core.clienthello import read_hello
from mailtls.core.hellobook import HelloBook
from mailtls.core.hellorecord import Kind, Sighting
from mailtls.core.session import Session

from .hellotexts import MODERN, message, record
from .screenplay import IP, NOW, failed, worked, wrote

OLD, NEW = record(message(0x0301, [0x2F])), record(message(0x0303, [0x1301, 0x2F], MODERN))
AT = NOW.timestamp()


def seen(data: bytes = OLD, ago: float = 0, port: int = 40000, ip: str = IP, kind: Kind = Kind.HELLO) -> Sighting:
    return Sighting(kind, AT - ago, ip, port, "198.51.100.1", 25, data)


def book_of(*sightings: Sighting) -> HelloBook:
    book = HelloBook()
    for each in sightings:
        book.put(each)
    return book


def with_port(session: Session, port: int = 40000) -> Session:
    return replace(session, port=port)


@pytest.mark.parametrize("session", [failed(0), worked(0), with_port(failed(0))], ids=["failed", "worked", "port"])
def test_a_session_has_the_hello_that_came_just_before(session: Session) -> None:
    heard = book_of(seen(ago=1)).match(session)
    assert heard is not None
    assert (heard.at, heard.hello, heard.alert) == (AT - 1, read_hello(OLD), None)


@pytest.mark.parametrize(
    ("sighting", "session"),
    [
        (seen(ip="192.0.2.8"), failed(0)),
        (seen(ago=hellobook.BEFORE + 1), failed(0)),
        (seen(ago=-hellobook.AFTER - 1), failed(0)),
        (seen(ago=hellobook.BEFORE_WITH_PORT + 1), with_port(failed(0))),
        (seen(port=40001), with_port(failed(0))),
        (seen(), wrote(0)),
        (seen(), failed(None)),
        (seen(b"\x16\x03\x01\0\1\1"), failed(0)),
    ],
    ids=["address", "long ago", "afterwards", "very long ago", "port", "cleartext", "no time", "no hello"],
)
def test_what_is_not_of_this_session_is_not_taken_for_it(sighting: Sighting, session: Session) -> None:
    assert book_of(sighting).match(session) is None


def test_with_a_port_a_slow_handshake_has_its_hello_too() -> None:
    assert book_of(seen(ago=200)).match(with_port(failed(0))) is not None
    assert book_of(seen(ago=200)).match(failed(0)) is None


def test_where_several_that_differ_could_be_meant_none_is() -> None:
    """Also what somebody forges in a peer's name: it takes the observer away, and gives nothing."""
    book = book_of(seen(OLD), seen(NEW, port=50000))
    assert book.match(failed(0)) is None
    assert book.match(with_port(failed(0), 50000)) is not None
    assert book.match(with_port(failed(0), 40000)) is not None
    assert book_of(seen(OLD), seen(OLD, port=2, ago=3)).match(failed(0)) is not None


def test_of_a_hello_that_came_in_two_lengths_the_whole_one_counts() -> None:
    heard = book_of(seen(NEW), seen(NEW[:-4])).match(failed(0))
    assert heard is not None
    assert not heard.hello.truncated


def test_the_alert_of_the_connection_comes_with_it() -> None:
    alert = seen(b"\x15\x03\x01\0\2\2\x30", kind=Kind.ALERT)
    heard = book_of(seen(), alert).match(failed(0))
    assert heard is not None
    assert heard.alert == 48
    assert book_of(alert).match(failed(0)) is None, "an alert alone is no hello"


def test_a_flood_is_bounded_and_one_address_cannot_drive_out_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hellobook, "MOST", 100)
    book = book_of(seen())
    for port in range(1000):
        book.put(seen(NEW, port=port, ip="203.0.113.9"))
    assert book.match(failed(0)) is not None
    assert book.forgotten == 1000 - hellobook.OF_ONE
    for last in range(200):
        book.put(seen(ip=f"203.0.113.{last}"))
    assert book.match(failed(0)) is None
    assert book.heard == 1201
    assert len(book._pages) <= 100


def test_a_flood_of_long_hellos_is_bounded_by_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hellobook, "BUDGET", 10_000)
    book = book_of(*(seen(bytes(1000), ip=f"203.0.113.{last}") for last in range(200)))
    assert len(book._pages) == 10


def test_times_of_another_zone_are_the_same_times() -> None:
    assert book_of(seen()).match(replace(failed(0), at=NOW + timedelta(hours=1))) is None


def test_a_hello_that_comes_after_its_session_is_matched_when_it_comes() -> None:
    book = book_of(seen(ip="192.0.2.8"))
    assert book.match(failed(0)) is None
    assert book.take_late() == []
    book.put(seen(port=1, ago=100))
    assert book.take_late() == [], "that was not it"
    book.put(seen(ago=1))
    ((session, heard),) = book.take_late()
    assert (session, heard.hello) == (failed(0), read_hello(OLD))
    assert book.take_late() == []
    assert book.matched == 1


def test_sessions_that_wait_for_their_hellos_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hellobook, "LATE", 10)
    book = book_of(seen())
    for last in range(30):
        book.match(failed(0, ip=f"203.0.113.{last}"))
        book.put(seen(ago=100, ip=f"203.0.113.{last}"))
    assert len(book._unmatched) == len(book._late) == 10
    for last in range(30):
        book.put(seen(ip=f"203.0.113.{last}"))
    assert len(book.take_late()) == 10
