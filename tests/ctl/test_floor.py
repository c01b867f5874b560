"""`mailtlsctl floor`: who would be lost, to read and for scripts."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from ctl.parties import World, a_world
from mailtls.core.controlprotocol import FloorForecast, FloorPeer
from mailtls.core.floor import Fate


@pytest.fixture
def world() -> Iterator[World]:
    with a_world() as world:
        yield world


def peer(ip: str, fate: Fate, name: str | None = "mx.example.com") -> FloorPeer:
    return FloorPeer(
        ip=ip, name=name, fate=fate, used=("TLSv1 with AES128-SHA", "TLSv1.1 with AES128-SHA"), sessions=12,
        all_sessions=1234, mails=1, last_day="2026-11-21",
    )  # fmt: skip


FORECAST = FloorForecast(
    days=90,
    sessions=123456,
    touched=4,
    peers=(peer("192.0.2.1", Fate.LOST), peer("192.0.2.2", Fate.PARTLY, None), peer("2001:db8::1", Fate.DOUBTFUL)),
)


def test_the_surest_losses_stand_first_with_their_mail(world: World) -> None:
    world.daemon.floor = FORECAST
    with world.running():
        seen = world.mailtlsctl("floor", "tlsv1.2", "--without-rsa", "--days", "90", "--limit", "3", COLUMNS="120")
    assert (seen.returncode, seen.stderr) == (0, "")
    what = "1 mail in 12 of 1,234 sessions, TLSv1 with AES128-SHA, TLSv1.1 with AES128-SHA; last on 2026-11-21"
    assert " ".join(seen.stdout.split()) == (
        "With TLSv1.2 as the lowest version and no RSA certificate, by 123,456 handshakes on port 25 in 90 days, "
        "4 peers would be touched. "
        f"Would be lost: they have nothing else. 192.0.2.1 mx.example.com: {what} "
        f"Would be lost in part: some of what comes from these addresses has nothing else. 192.0.2.2: {what} "
        "May be lost: what they used would go, and whether they have anything else is not known. "
        f"2001:db8::1 mx.example.com: {what} "
        "The first 3; --limit asks for more."
    )
    (asked,) = world.daemon.questions
    assert (asked.version, asked.ciphers, asked.without_rsa, asked.days, asked.limit) == ("TLSv1.2", None, True, 90, 3)


def test_nobody_lost_is_one_sentence(world: World) -> None:
    world.daemon.floor = FloorForecast(days=30, sessions=1, touched=0, peers=())
    with world.running():
        seen = world.mailtlsctl("floor", "TLSv1.0")
    assert seen.stdout == (
        "With TLSv1 as the lowest version nobody would be lost, by 1 handshake on port 25\nin 30 days.\n"
    )


def test_what_rests_on_a_hello_is_said(world: World) -> None:
    refused = peer("192.0.2.1", Fate.LOST).model_copy(update={"by_hello": "no shared cipher"})
    world.daemon.floor = FORECAST.model_copy(update={"peers": (refused,), "touched": 1, "spared": 1})
    with world.running():
        seen = " ".join(world.mailtlsctl("floor", "--without-rsa", COLUMNS="120").stdout.split())
    assert "last on 2026-11-21; its ClientHello would be refused: no shared cipher" in seen
    assert "1 other peer used what would go, and its ClientHello shows that it has something else." in seen


def test_nobody_lost_by_their_hellos_is_one_sentence(world: World) -> None:
    world.daemon.floor = FloorForecast(days=30, sessions=12, touched=0, peers=(), spared=2)
    with world.running():
        seen = " ".join(world.mailtlsctl("floor", "--without-rsa").stdout.split())
    assert seen == (
        "With no RSA certificate nobody would be lost, by 12 handshakes on port 25 in 30 days. "
        "2 peers used what would go, and their ClientHellos show that they have something else."
    )


def test_a_grade_of_ciphers_is_asked_by_name(world: World) -> None:
    world.daemon.floor = FORECAST
    with world.running():
        seen = world.mailtlsctl("floor", "--ciphers", "high", "--json")
    assert json.loads(seen.stdout)["floor"] == json.loads(FORECAST.model_dump_json())
    (asked,) = world.daemon.questions
    assert asked.version is None
    assert "ECDHE-RSA-AES128-GCM-SHA256" in asked.ciphers


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing is asked; name a version such as TLSv1.2, or --ciphers, or --without-rsa"),
        (["TLSv1.4"], "'TLSv1.4' is no version; write TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3"),
        (["SSLv2"], "'SSLv2' is no version"),
        (["--ciphers", "NONSENSE"], "'NONSENSE' means no cipher to this OpenSSL"),
        (["TLSv1.2", "--days", "0"], "--days"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(world: World, arguments: list[str], words: str) -> None:
    with world.running():
        seen = world.mailtlsctl("floor", *arguments)
    assert (seen.returncode, seen.stdout) == (2, "")
    assert words in seen.stderr
    assert seen.stderr.count("\n") == 1


def test_without_mailtlsd_it_is_said(world: World) -> None:
    assert world.mailtlsctl("floor", "TLSv1.2").returncode == 3
