"""`mailtlsctl inventory`: to read, for a spreadsheet, and for scripts."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

import pytest

from ctl.parties import World, a_world
from mailtls.core.controlprotocol import Inventory, InventoryDay, InventoryRow


@pytest.fixture
def world() -> Iterator[World]:
    with a_world() as world:
        yield world


def row(**fields: object) -> InventoryRow:
    given: dict[str, object] = {
        "source": "postfix", "door": "strict", "encrypted": True, "tls_version": "TLSv1.3",
        "cipher": "TLS_AES_256_GCM_SHA384", "key_exchange": None, "server_key": None, "client_certificate": "none",
        "peers": 1200, "sessions": 0, "messages": 34567,
        "by_day": (day("2026-11-12", 10), day("2026-11-21", 100)),
    }  # fmt: skip
    return InventoryRow.model_validate(given | fields)


def day(name: str, messages: int) -> InventoryDay:
    return InventoryDay(day=name, peers=1, sessions=0, messages=messages)


OLD = row(
    door="legacy", tls_version="TLSv1", cipher="AES128-SHA", key_exchange="RSA", server_key="RSA", messages=12, peers=3,
    client_certificate="trusted", by_day=(day("2026-11-12", 12),),
)  # fmt: skip
PLAIN = row(encrypted=False, tls_version=None, cipher=None, messages=5, peers=2, by_day=(day("2026-11-16", 5),))
LOG = row(
    source="log", tls_version="TLSv1.2", cipher="ECDHE-RSA-AES128-GCM-SHA256", key_exchange="ECDHE", server_key="RSA",
    client_certificate=None, sessions=77, messages=70, by_day=(day("2026-11-21", 70),),
)  # fmt: skip
FOUND = Inventory(days=30, peers=1234, failed_sessions=56, found=5, rows=(row(), OLD, PLAIN, LOG))


def test_what_is_used_is_a_table_with_its_way_over_the_days(world: World) -> None:
    world.daemon.inventory = FOUND
    with world.running():
        seen = world.mailtlsctl("inventory", "--limit", "4", COLUMNS="110", LC_ALL="C.UTF-8")
    assert (seen.returncode, seen.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in seen.stdout.splitlines() if line.strip()]
    assert lines == [
        "1,234 peers at port 25 in 30 days; 56 sessions failed.",
        "Messages, as Postfix itself told",
        "messages peers with key 11-12..11-21",
        "34,567 1,200 TLSv1.3 TLS_AES_256_GCM_SHA384 (EC)DHE ▁ █",
        "12 3 TLSv1 AES128-SHA (legacy), client certificate trusted RSA █",
        "5 2 cleartext █",
        "Sessions, as the log told",
        "sessions peers with key 11-21..11-21",
        "77 1,200 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 ECDHE RSA █",
        "The first 4 of 5; --limit asks for more.",
    ]
    (asked,) = world.daemon.questions
    assert (asked.days, asked.limit) == (30, 4)


def test_a_narrow_screen_without_utf_8_is_kept_to(world: World) -> None:
    world.daemon.inventory = FOUND
    with world.running():
        seen = world.mailtlsctl("inventory", COLUMNS="80", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert seen.stdout.isascii()
    assert max(map(len, seen.stdout.splitlines())) <= 80


def test_a_spreadsheet_gets_a_line_for_each_day_and_no_formula(world: World) -> None:
    world.daemon.inventory = FOUND.model_copy(update={"rows": (row(cipher='=cmd|"x"!A1\x1b[2J,y'), OLD)})
    with world.running():
        seen = world.mailtlsctl("inventory", "--csv", "--days", "365")
    lines = list(csv.DictReader(io.StringIO(seen.stdout)))
    assert [(line["day"], line["tls_version"], line["messages"]) for line in lines] == [
        ("2026-11-12", "TLSv1.3", "10"),
        ("2026-11-21", "TLSv1.3", "100"),
        ("2026-11-12", "TLSv1", "12"),
    ]
    assert lines[0]["cipher"].startswith("cmd|")
    assert "\x1b" not in seen.stdout
    assert (lines[2]["key_exchange"], lines[2]["client_certificate"], lines[2]["door"]) == ("RSA", "trusted", "legacy")
    assert world.daemon.questions[0].days == 365


def test_scripts_get_all_of_it(world: World) -> None:
    world.daemon.inventory = FOUND
    with world.running():
        seen = world.mailtlsctl("inventory", "--json")
    assert json.loads(seen.stdout)["inventory"] == json.loads(FOUND.model_dump_json())


def test_an_empty_inventory_is_one_sentence(world: World) -> None:
    world.daemon.inventory = Inventory(days=7, peers=0, failed_sessions=0, found=0, rows=())
    with world.running():
        seen = world.mailtlsctl("inventory", "--days", "7")
    assert (seen.returncode, seen.stdout) == (0, "Nobody was seen at port 25 in 7 days.\n")


def test_two_forms_at_once_are_refused(world: World) -> None:
    with world.running():
        seen = world.mailtlsctl("inventory", "--csv", "--json")
    assert (seen.returncode, seen.stdout) == (2, "")
    assert "take one of them" in seen.stderr
