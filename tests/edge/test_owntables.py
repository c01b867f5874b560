"""The operator's own tables, of real types, as they are asked for a waiver."""

from __future__ import annotations

import os
from ipaddress import ip_network
from pathlib import Path

import pytest
from tests.edge.tables import needs
from tests.tabletypes import KIND

from mailtls.core.discardtable import NOTHING, OwnRule
from mailtls.edge.owntables import OwnTables
from mailtls.edge.postmap import Postmap
from mailtls.errors import PostfixError

pytestmark = [pytest.mark.postfix, needs(KIND)]


class CountingPostmap(Postmap):
    """Counts how often tables are asked."""

    asked = 0

    def answers(self, *arguments: object) -> dict[str, str]:
        self.asked += 1
        return super().answers(*arguments)  # type: ignore[arg-type]


@pytest.fixture
def postmap(tmp_path: Path) -> CountingPostmap:
    return CountingPostmap(tmp_path / "own")


def indexed(tmp_path: Path, postmap: Postmap, text: str, name: str = "t") -> str:
    (tmp_path / name).write_text(text)
    for suffix in (".lmdb", ".db"):
        (tmp_path / f"{name}{suffix}").unlink(missing_ok=True)
    postmap.build(f"{KIND}:{tmp_path}/{name}")
    return f"{KIND}:{tmp_path}/{name}"


def cidr(tmp_path: Path, text: str, name: str = "c") -> str:
    (tmp_path / name).write_text(text)
    return f"cidr:{tmp_path}/{name}"


def test_without_tables_nothing_is_asked(postmap: CountingPostmap) -> None:
    assert OwnTables([], postmap).entries(["192.0.2.7", "192.0.2.0/24"]) is NOTHING
    assert postmap.asked == 0


def test_for_addresses_every_type_is_asked_in_the_operators_order(tmp_path: Path, postmap: Postmap) -> None:
    own = OwnTables(
        [indexed(tmp_path, postmap, "192.0.2.7 dsn\n"), cidr(tmp_path, "192.0.2.0/24 chunking\n"), "regexp:/dev/null"],
        postmap,
    )
    entries = own.entries(["192.0.2.7", "192.0.2.8", "198.51.100.1"])
    assert entries.answers == {"192.0.2.7": "dsn", "192.0.2.8": "chunking"}
    assert entries.rules == ()


def test_for_a_network_its_exact_entries_and_the_rules_are_listed(tmp_path: Path, postmap: Postmap) -> None:
    own = OwnTables(
        [
            "inline:{192.0.2.7=dsn, 203.0.113.1=xyz}",
            cidr(tmp_path, "192.0.2.8/29 chunking\n"),
            "proxy:" + indexed(tmp_path, postmap, "192.0.2.7 never\n192.0.2.9 later\nmail.example.com dsn\n"),
            "static:pipelining",
        ],
        postmap,
    )
    entries = own.entries(["192.0.2.0/24"])
    assert entries.answers == {"192.0.2.7": "dsn", "192.0.2.9": "chunking"}
    everybody = [OwnRule(ip_network(text), "pipelining") for text in ("0.0.0.0/0", "::/0")]
    assert entries.rules == (OwnRule(ip_network("192.0.2.8/29"), "chunking"), *everybody)


def test_answers_are_kept_until_the_table_changes(tmp_path: Path, postmap: CountingPostmap) -> None:
    own = OwnTables([indexed(tmp_path, postmap, "192.0.2.7 dsn\n")], postmap)
    for _ in range(3):
        assert own.entries(["192.0.2.7"]).answers == {"192.0.2.7": "dsn"}
    assert postmap.asked == 1
    own.entries(["192.0.2.7", "192.0.2.8"])
    assert postmap.asked == 2
    indexed(tmp_path, postmap, "192.0.2.7 chunking\n")
    assert own.entries(["192.0.2.7"]).answers == {"192.0.2.7": "chunking"}


@pytest.mark.parametrize(
    ("spelled", "opaque"),
    [
        ("pcre:/x", True), ("ldap:/x", True), ("socketmap:unix:/x:y", True), ("static:x", False), ("inline:{a=b}", False),
        ("cidr:/nowhere", True),
    ],
)  # fmt: skip
def test_which_tables_bar_networks(postmap: Postmap, spelled: str, opaque: bool) -> None:
    assert OwnTables(["static:dsn", spelled], postmap).opaque() == (spelled if opaque else None)


def test_a_cidr_table_bars_networks_while_it_has_rules_that_are_not_plain(tmp_path: Path, postmap: Postmap) -> None:
    spelled = cidr(tmp_path, "!192.0.2.0/24 dsn\n")
    own = OwnTables([spelled], postmap)
    assert own.opaque() == spelled
    cidr(tmp_path, "192.0.2.0/24 dsn\n")
    assert own.opaque() is None


def test_a_table_that_is_broken_is_a_sentence(tmp_path: Path, postmap: Postmap) -> None:
    own = OwnTables([f"{KIND}:{tmp_path}/gone"], postmap)
    with pytest.raises(PostfixError, match="gone"):
        own.entries(["192.0.2.7"])
    indexed(tmp_path, postmap, "192.0.2.7 dsn\n", "gone")
    assert own.entries(["192.0.2.7"]).answers == {"192.0.2.7": "dsn"}, "and asked again when it is mended"


def test_a_change_within_the_same_second_is_seen(tmp_path: Path, postmap: Postmap) -> None:
    spelled = cidr(tmp_path, "192.0.2.7 dsn\n")
    own = OwnTables([spelled], postmap)
    own.entries(["192.0.2.7"])
    status = (tmp_path / "c").stat()
    (tmp_path / "new").write_text("192.0.2.7 xyz\n")
    os.utime(tmp_path / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
    (tmp_path / "new").rename(tmp_path / "c")
    assert own.entries(["192.0.2.7"]).answers == {"192.0.2.7": "xyz"}
