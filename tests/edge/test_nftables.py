"""Our table in a real nftables: what is written is what is listed, and what is refused is a sentence."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from tests.postfix.netns import Namespace, made, why_no_namespaces

from mailtls.core.doorset import DOOR_LEVELS, Waived, armed, difference, door_sets, set_names
from mailtls.core.level import Level
from mailtls.core.nftlisting import FOREVER, parse_listing
from mailtls.core.nftscript import change, definition, emptied, removed
from mailtls.core.postfixview import Doorway
from mailtls.edge import nftables as module
from mailtls.edge.nftables import Nftables, removals
from mailtls.errors import FirewallError

why_not = why_no_namespaces()
pytestmark = pytest.mark.skipif(why_not is not None, reason=why_not or "")

NOW = datetime.now(UTC)
DOORWAYS = (
    Doorway(level=Level.LEGACY, port=10225),
    Doorway(level=Level.LEGACY_RSA, port=10125, addresses=("192.0.2.1", "2001:db8::1")),
    Doorway(level=Level.LEGACY_RSA, port=10126, addresses=("192.0.2.2",)),
    Doorway(level=Level.SSLV3, port=10325),
)
WAIVED = [
    Waived(network, level, NOW + timedelta(hours=hours))
    for network, level, hours in (
        ("192.0.2.7", Level.LEGACY, 5), ("2001:db8::7", Level.LEGACY, 100), ("192.0.2.8", Level.LEGACY_RSA, 1),
        ("198.51.100.0/25", Level.LEGACY, 5), ("198.51.100.128/25", Level.LEGACY, 5),
        ("198.51.100.16/28", Level.LEGACY_RSA, 3), ("198.51.100.3/32", Level.LEGACY_RSA, 3),
        ("2001:db8:1::/48", Level.LEGACY, 5), ("2001:db8:1:1::/64", Level.LEGACY_RSA, 5),
        ("192.0.2.9", Level.SSLV3, 2),
    )
]  # fmt: skip
SETS = door_sets(WAIVED, (), DOOR_LEVELS)


@pytest.fixture
def space() -> Iterator[Namespace]:
    with made("a mail server") as namespace, namespace:
        yield namespace


def test_what_is_defined_is_what_is_listed_and_a_second_time_changes_nothing(space: Namespace) -> None:
    nft = Nftables()
    assert nft.listing() is None
    shapes = set()
    for _ in range(2):
        nft.carry_out(definition(DOORWAYS, SETS, NOW))
        listing = nft.listing()
        assert listing is not None
        shapes.add(listing.shape)
        assert {name: set(of) for name, of in listing.left.items()} == {name: set(of) for name, of in SETS.items()}
        assert not difference(listing.ends(NOW), SETS, NOW)
        assert listing.ports == {10225, 10125, 10126, 10325}
    assert len(shapes) == 1


def test_a_change_leads_from_one_state_to_another_whatever_ran_out_meanwhile(space: Namespace) -> None:
    nft = Nftables()
    nft.carry_out(definition(DOORWAYS, SETS, NOW))
    space.run("nft", "delete", "element", "inet", "mailtls", "legacy_host4", "{", "192.0.2.7", "}")
    for waived in (WAIVED[1:5], WAIVED[::2], WAIVED, []):
        held = nft.listing()
        wanted = door_sets(waived, (), DOOR_LEVELS)
        assert held is not None
        believed = {**held.ends(NOW), "legacy_host4": armed(SETS, NOW)["legacy_host4"]}
        nft.carry_out(change(difference(believed, wanted, NOW), NOW))
        listing = nft.listing()
        assert listing is not None
        there = {name: set(of) for name, of in listing.left.items() if name != "legacy_host4"}
        assert there == {name: set(of) for name, of in wanted.items() if name != "legacy_host4"}


def test_a_refused_transaction_changes_nothing(space: Namespace) -> None:
    nft = Nftables()
    nft.carry_out(definition(DOORWAYS, SETS, NOW))
    before = space.run("nft", "list", "ruleset").count("192.0.2.7 timeout")
    with pytest.raises(FirewallError, match="nftables refuses"):
        nft.carry_out(f"{emptied(set_names(Level.LEGACY))}add element inet mailtls nosuch {{ 192.0.2.9 }}\n")
    assert space.run("nft", "list", "ruleset").count("192.0.2.7 timeout") == before == 1


def test_nothing_outside_our_table_is_touched(space: Namespace) -> None:
    space.nft("table inet site { set legacy_host4 { type ipv4_addr; }\nchain input { tcp dport 25 accept\n}\n}")
    before = space.run("nft", "list", "table", "inet", "site")
    nft = Nftables()
    nft.carry_out(definition(DOORWAYS, SETS, NOW))
    nft.carry_out(emptied(SETS))
    nft.carry_out(removed())
    assert nft.listing() is None
    assert space.run("nft", "list", "table", "inet", "site") == before
    assert [each for each in nft.ruleset() if "table" in each] == [
        {"table": {"family": "inet", "name": "site", "handle": nft.ruleset()[1]["table"]["handle"]}}
    ]


def test_an_address_is_asked_for_without_changing_anything(space: Namespace) -> None:
    nft = Nftables()
    nft.carry_out(definition(DOORWAYS, SETS, NOW))
    asked = ("192.0.2.7", "192.0.2.8", "192.0.2.9")
    assert [nft.holds("legacy_host4", ip) for ip in asked] == [True, False, False]
    assert [nft.holds("legacy_host4", ip) for ip in asked] == [True, False, False]
    assert nft.holds("legacy_host6", "2001:db8::7")
    with pytest.raises(FirewallError):
        nft.holds("no_such_set", "192.0.2.7")


def test_an_element_without_an_end_that_somebody_put_there_is_taken_out(space: Namespace) -> None:
    nft = Nftables()
    nft.carry_out(definition(DOORWAYS, SETS, NOW))
    space.run("nft", "add", "element", "inet", "mailtls", "legacy_host4", "{", "203.0.113.9,", "203.0.113.10", "}")
    listing = nft.listing()
    assert listing is not None
    assert listing.left["legacy_host4"]["203.0.113.9"] == FOREVER
    assert difference(listing.ends(NOW), SETS, NOW).gone["legacy_host4"] == {"203.0.113.9", "203.0.113.10"}


def test_a_range_is_read_as_prefixes(space: Namespace) -> None:
    space.nft(
        "table inet mailtls { set legacy_net4 { type ipv4_addr; flags interval; elements = { 192.0.2.5-192.0.2.8 }\n}\n}"
    )
    listing = Nftables().listing()
    assert listing is not None
    assert set(listing.left["legacy_net4"]) == {"192.0.2.5", "192.0.2.6/31", "192.0.2.8"}


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"nftables": 7}', '{"nftables": [{"set": {}}]}', "{}"])
def test_what_nft_never_writes_is_no_listing(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_listing(text)


def test_without_the_right_it_is_a_sentence_that_says_what_still_works(space: Namespace) -> None:
    code = (
        "from mailtls.edge.nftables import Nftables; from mailtls.errors import FirewallError\n"
        "for work in (Nftables().listing, Nftables().ruleset, lambda: Nftables().carry_out('add table inet mailtls')):\n"
        "    try: print(work())\n"
        "    except FirewallError as error: print(error)\n"
    )
    command = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin", "python3", "-c", code]
    environment = {**os.environ, "PYTHONPATH": os.path.join(os.path.dirname(module.__file__), "..", "..")}
    told = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout.splitlines()
    assert len(told) == 3
    assert all("CAP_NET_ADMIN" in line and "only the level cleartext" in line for line in told)


def test_without_nft_it_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMMAND", "no-such-nft")
    with pytest.raises(FirewallError, match="apt-get install nftables"):
        Nftables().listing()


@pytest.mark.parametrize("harm", ["flush ruleset", "flush table inet mailtls", "delete table inet mailtls"])
async def test_whoever_removes_our_rules_is_heard_and_elements_make_no_noise(harm: str) -> None:
    with made("a mail server") as space:
        with space:
            Nftables().carry_out(definition(DOORWAYS, SETS, NOW))
            heard = removals()
            hearing = asyncio.ensure_future(anext(heard))
            await asyncio.sleep(0)
            for _ in range(50):  # until it listens
                Nftables().carry_out(change(difference({}, SETS, NOW), NOW))
                assert not hearing.done()
                await asyncio.sleep(0.01)
        while not hearing.done():
            await asyncio.to_thread(harmed, space, harm)
            await asyncio.wait([hearing], timeout=1)
        await heard.aclose()


def harmed(space: Namespace, harm: str) -> None:
    with space:
        Nftables().carry_out(definition(DOORWAYS, SETS, NOW))
        Nftables().carry_out(f"{harm}\n")
