"""Who is led to which door, tried with the real program, real nftables and real addresses, IPv4 and IPv6."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator

import pytest
from tests.edge.tables import needs
from tests.service.doorhouse import DOORS, LEGACY, LEGACY_RSA, STRICT, DoorHouse, door_house, why_not
from tests.service.keeperhouse import automatic, later, wait_until
from tests.tabletypes import KIND

pytestmark = [
    pytest.mark.postfix,
    pytest.mark.slow,
    needs(KIND),
    pytest.mark.skipif(why_not is not None, reason=why_not or ""),
]

PEER, OTHER = "198.51.100.7", "198.51.100.8"
PEER6, OTHER6 = "2001:db8:77::7", "2001:db8:77::8"


@pytest.fixture
def house() -> Iterator[DoorHouse]:
    with door_house() as house:
        try:
            yield house
        except BaseException:
            print(house.house.words.read_text())
            raise


def ended(house: DoorHouse, network: str) -> None:
    assert house.house.ask({"op": "withdraw", "network": network}).live


@pytest.mark.parametrize(("peer", "other"), [(PEER, OTHER), (PEER6, OTHER6)], ids=["IPv4", "IPv6"])
def test_a_listed_peer_is_led_to_its_door_and_nobody_else_is(house: DoorHouse, peer: str, other: str) -> None:
    house.start()
    assert house.port_for(peer) == STRICT
    reply = house.grant(peer)
    assert (reply.ok, reply.live) == (True, True)
    assert (house.port_for(peer), house.port_for(other)) == (LEGACY, STRICT)
    assert house.doors.seen[-2][:2] == (LEGACY, peer), "the door sees who it is"
    ended(house, peer)
    assert house.port_for(peer) == STRICT


@pytest.mark.parametrize(("network", "inside", "outside"), [
    ("198.51.100.16/28", "198.51.100.31", "198.51.100.32"), ("2001:db8:77::/80", "2001:db8:77::7", "2001:db8:77:0:1::7"),
])  # fmt: skip
def test_a_network_is_led_to_its_door(house: DoorHouse, network: str, inside: str, outside: str) -> None:
    house.start()
    assert house.grant(network, "legacy-rsa").live
    assert (house.port_for(inside), house.port_for(outside)) == (LEGACY_RSA, STRICT)
    ended(house, network)
    assert house.port_for(inside) == STRICT


def test_the_narrowest_waiver_holds_and_the_wider_one_comes_back_when_it_ends(house: DoorHouse) -> None:
    house.start()
    for network, level in (("198.51.100.0/24", "legacy"), ("198.51.100.16/28", "legacy-rsa"), ("198.51.100.17", "legacy")):
        assert house.grant(network, level).live
    asked = ("198.51.100.1", "198.51.100.16", "198.51.100.17", "198.51.100.32")
    assert [house.port_for(each) for each in asked] == [LEGACY, LEGACY_RSA, LEGACY, LEGACY]
    ended(house, "198.51.100.16/28")
    assert [house.port_for(each) for each in asked] == [LEGACY] * 4
    ended(house, "198.51.100.0/24")
    assert [house.port_for(each) for each in asked] == [STRICT, STRICT, LEGACY, STRICT]


def test_neighbours_are_not_merged_into_one_that_cannot_be_taken_apart(house: DoorHouse) -> None:
    """With auto-merge two neighbours are one element, and the second cannot be deleted (facts 7.4)."""
    house.start()
    for network in ("198.51.100.0/25", "198.51.100.128/25", "198.51.100.2", "198.51.100.3"):
        assert house.grant(network).live
    ended(house, "198.51.100.3")
    ended(house, "198.51.100.128/25")
    assert [house.port_for(f"198.51.100.{n}") for n in (2, 3, 200)] == [LEGACY, LEGACY, STRICT]
    ended(house, "198.51.100.0/25")
    assert [house.port_for(f"198.51.100.{n}") for n in (2, 3)] == [LEGACY, STRICT]


def test_nobody_reaches_a_door_directly(house: DoorHouse) -> None:
    house.start()
    house.grant(PEER)
    for source in (PEER, OTHER, PEER6):
        assert house.port_for(source, LEGACY) is None
        assert house.port_for(source, LEGACY_RSA) is None
    assert house.port_for(PEER) == LEGACY, "the same peer, through the strict port"
    assert house.port_for("127.0.0.1", LEGACY, "127.0.0.1", house.net.server) == LEGACY, "probes come from here"


def test_nobody_reaches_a_door_directly_where_connections_are_not_tracked(house: DoorHouse) -> None:
    """A match on what conntrack knows holds for none of them, and neither does its opposite."""
    house.start()
    house.grant(PEER)
    house.net.server.nft(
        "table inet site {\n chain raw {\n type filter hook prerouting priority raw\n"
        f" tcp dport {LEGACY} notrack\n }}\n}}\n"
    )
    for source in (OTHER, OTHER6):
        assert house.port_for(source, LEGACY) is None
    assert house.port_for(PEER) == LEGACY, "the rule is about those who come directly"


def test_a_door_looks_like_a_port_at_which_nobody_listens(house: DoorHouse) -> None:
    house.start()
    for port in (LEGACY, 4444):
        with pytest.raises(ConnectionRefusedError), house.session(OTHER, port):
            pass


def test_every_address_of_the_mail_server_leads_to_the_door_and_keeps_itself(house: DoorHouse) -> None:
    house.start()
    house.grant(PEER)
    for at in ("192.0.2.25", "192.0.2.26"):
        assert house.port_for(PEER, at=at) == LEGACY
        assert house.doors.seen[-1] == (LEGACY, PEER, at)


def test_only_the_addresses_that_the_view_names_lead_to_the_door(house: DoorHouse) -> None:
    house.show(DOORS, addresses=["192.0.2.25", "2001:db8:25::25"])
    house.start()
    house.grant(PEER)
    house.grant(PEER6)
    assert [house.port_for(PEER, at=at) for at in ("192.0.2.25", "192.0.2.26")] == [LEGACY, STRICT]
    assert [house.port_for(PEER6, at=at) for at in ("2001:db8:25::25", "2001:db8:25::26")] == [LEGACY, STRICT]


def test_a_client_on_this_machine_is_led_as_well(house: DoorHouse) -> None:
    """Its packets do not pass prerouting (facts 7.7)."""
    house.show(DOORS, own=())
    house.start()
    assert house.grant("127.0.0.9").live
    asked = [house.port_for(source, STRICT, "127.0.0.1", house.net.server) for source in ("127.0.0.9", "127.0.0.8")]
    assert asked == [LEGACY, STRICT]


def test_sessions_stay_where_they_are_whatever_changes(house: DoorHouse) -> None:
    house.start()
    with house.session(PEER) as (before, port), house.session(PEER6) as (before6, port6):
        assert (port, port6) == (STRICT, STRICT)
        house.grant(PEER)
        house.grant(PEER6)
        with house.session(PEER) as (after, led), house.session(PEER6) as (after6, led6):
            assert (led, led6) == (LEGACY, LEGACY)
            ended(house, PEER)
            ended(house, PEER6)
            house.grant("198.51.100.0/24", "legacy-rsa")
            assert [house.goes_on(each) for each in (before, before6)] == [STRICT, STRICT]
            assert [house.goes_on(each) for each in (after, after6)] == [LEGACY, LEGACY]


def test_sessions_at_a_door_outlive_a_restart_of_the_keeper(house: DoorHouse) -> None:
    process = house.start()
    house.grant(PEER)
    with house.session(PEER) as (client, port):
        house.house.kill(process)
        assert (house.goes_on(client), house.port_for(PEER)) == (LEGACY, LEGACY)
        house.start()
        assert (port, house.goes_on(client), house.port_for(PEER)) == (LEGACY, LEGACY, LEGACY)


@pytest.mark.parametrize("harm", ["flush ruleset", "delete table inet mailtls", "flush table inet mailtls"])
def test_what_somebody_flushes_is_there_again_and_sessions_at_the_strict_door_go_on(house: DoorHouse, harm: str) -> None:
    house.start()
    house.grant(PEER)
    with house.session(OTHER) as (client, _):
        house.net.server.run("nft", *harm.split())
        wait_until(lambda: house.port_for(PEER) == LEGACY)
        assert house.goes_on(client) == STRICT
    assert house.port_for(PEER, LEGACY) is None, "the guard is there again"


def test_a_reloaded_firewall_takes_nothing_away(house: DoorHouse) -> None:
    """As `systemctl reload nftables` does: flush and the site's own rules, which stay as they are."""
    house.start()
    house.grant(PEER)
    house.net.server.nft("flush ruleset\ntable inet site { chain input { type filter hook input priority 0; }\n}\n")
    wait_until(lambda: house.port_for(PEER) == LEGACY)
    assert "table inet site" in house.net.server.run("nft", "list", "ruleset")


def test_a_rule_that_somebody_put_into_our_table_is_taken_out(house: DoorHouse) -> None:
    process = house.start()
    house.net.server.run("nft", "add", "rule", "inet", "mailtls", "guard", "tcp", "dport", "25", "drop")
    process.send_signal(signal.SIGHUP)
    wait_until(lambda: "drop" not in house.listing())
    assert house.port_for(PEER) == STRICT


def test_a_door_closes_by_itself_when_the_waiver_ends_and_the_keeper_is_dead(house: DoorHouse) -> None:
    process = house.start()
    assert house.grant(PEER, until=later(seconds=4)).live
    assert house.grant(PEER6, until=later(hours=1)).live
    house.house.kill(process)
    assert house.port_for(PEER) == LEGACY
    wait_until(lambda: house.port_for(PEER) == STRICT)
    assert house.port_for(PEER6) == LEGACY


def test_the_errand_of_every_minute_ends_what_is_over_and_opens_nothing(house: DoorHouse) -> None:
    process = house.start()
    end = later(seconds=3)
    house.grant(PEER, until=end)
    house.grant(OTHER)
    house.house.kill(process)
    house.net.server.nft(
        f"add element inet mailtls legacy_host4 {{ {PEER} }}\ndelete element inet mailtls legacy_host4 {{ {PEER}, {OTHER} }}"
        f"\nadd element inet mailtls legacy_host4 {{ {PEER} timeout 1h }}\n"
    )  # the clock of the kernel went wrong, so to speak; and the other one's door was found dead
    wait_until(lambda: later() > end)
    done = house.run("--expire-once")
    assert (done.returncode, done.stderr.count("expired legacy")) == (0, 1), done.stderr
    assert (house.port_for(PEER), house.port_for(OTHER)) == (STRICT, STRICT)


def test_where_doors_went_while_the_keeper_was_dead_nobody_is_led_to_one(house: DoorHouse) -> None:
    """A door that is gone refuses the connection, which is worse than the strict one."""
    process = house.start()
    house.grant(PEER)
    house.house.kill(process)
    house.show({})
    house.doors.close(LEGACY)
    assert house.port_for(PEER) is None, "until then"
    done = house.run("--expire-once")
    assert (done.returncode, done.stderr) == (0, "")
    assert house.port_for(PEER) == STRICT


def test_a_view_that_cannot_be_read_closes_no_door_of_a_keeper_that_lives(house: DoorHouse) -> None:
    house.start()
    house.grant(PEER)
    (house.house.root / "etc" / "mailtls" / "postfix.toml").write_text("nonsense\n")
    house.run("--expire-once")
    assert house.port_for(PEER) == LEGACY


def test_who_is_ended_leaves_the_tables_later_than_the_door(house: DoorHouse) -> None:
    house.start()
    house.grant(PEER)
    ended(house, PEER)
    place = house.house.config.places.tables
    from mailtls.edge.postmap import Postmap

    found = Postmap(house.house.root / "asking").answers((f"{KIND}:{place}/legacy",), (PEER, OTHER))
    assert found == {PEER: "mailtls_waived"}
    assert PEER not in house.listing()


def test_a_dead_door_is_closed_and_opens_again_when_it_works(house: DoorHouse) -> None:
    process = house.start()
    house.grant(PEER)
    house.grant(PEER6, "legacy-rsa")
    house.doors.close(LEGACY)
    assert house.port_for(PEER) is None

    def falls_back() -> bool:
        process.send_signal(signal.SIGHUP)  # each is a visit; without it one comes every half minute
        return house.port_for(PEER) == STRICT

    wait_until(falls_back)
    assert house.port_for(PEER6) == LEGACY_RSA, "the other door stays open"
    assert "nobody listens there" in (house.grant(OTHER).refused or "")
    assert "door legacy at port 10225 is closed" in house.faults()["doors"]
    house.doors.open(LEGACY)
    assert house.grant(OTHER).live, "a request looks once more"
    wait_until(lambda: house.port_for(PEER) == LEGACY)
    assert "doors" not in house.faults()


def test_the_view_is_followed_without_a_restart_and_the_table_goes_with_the_last_session(house: DoorHouse) -> None:
    house.show({})
    with house.net.server:
        house.house.start()
    assert house.listing() == ""
    assert "mailtlsctl setup" in (house.grant(PEER).refused or "")
    house.show(DOORS)
    assert house.grant(PEER).live, "at once"
    process = house.house.processes[-1]
    with house.session(PEER) as (client, port):
        assert port == LEGACY
        house.show({})
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: house.port_for(PEER) == STRICT)
        house.settle()
        assert (house.goes_on(client), bool(house.listing())) == (LEGACY, True), "nobody is reset"
        client.sendall(b"QUIT\r\n")
        client.recv(100)

    def gone() -> bool:
        process.send_signal(signal.SIGHUP)
        return house.listing() == ""

    wait_until(gone)


def test_whoever_may_relay_gets_no_door(house: DoorHouse) -> None:
    house.show(DOORS, own=("127.0.0.0/8", "198.51.100.0/30"))
    house.start()
    for network in ("198.51.100.2", "198.51.100.0/24"):
        assert "198.51.100.0/30 of mynetworks" in (house.grant(network).refused or "")
    assert house.grant("198.51.100.4").live


def test_an_own_network_that_is_told_later_takes_its_addresses_from_the_door(house: DoorHouse) -> None:
    process = house.start()
    for network in ("198.51.100.2", "198.51.100.0/24"):
        assert house.grant(network).live
    house.show(DOORS, own=("198.51.100.0/30",))
    process.send_signal(signal.SIGHUP)
    wait_until(lambda: house.port_for("198.51.100.2") == STRICT)
    assert [house.port_for(f"198.51.100.{n}") for n in (3, 4)] == [STRICT, LEGACY]


def test_a_firewall_that_drops_what_is_led_to_the_door_is_named_with_the_rule_that_lets_it_in(house: DoorHouse) -> None:
    house.net.server.nft(
        "table inet site { chain input { type filter hook input priority 0; policy drop; iifname lo accept\n"
        "meta l4proto ipv6-icmp accept\nct state established accept\ntcp dport 25 accept\n}\n}\n"
    )
    process = house.start()
    house.grant(PEER)
    with house.net.peers, socket.socket() as client:
        client.settimeout(1)
        client.setsockopt(socket.SOL_IP, 15, 1)
        client.bind((PEER, 0))
        with pytest.raises(TimeoutError):
            client.connect(("192.0.2.25", STRICT))
    sentence = house.faults()["firewall"]
    assert "chain inet site input drops" in sentence
    rule = sentence.partition("nft '")[2].partition("'")[0]
    house.net.server.nft(rule)
    assert house.port_for(PEER) == LEGACY, "the rule that is named does it"
    process.send_signal(signal.SIGHUP)
    wait_until(lambda: "firewall" not in house.faults())


def test_an_automatic_waiver_goes_through_the_door_as_well(house: DoorHouse) -> None:
    house.start()
    (reply,) = house.house.ask_as_daemon(automatic(PEER, level="legacy"))
    assert reply.live, reply
    assert house.port_for(PEER) == LEGACY


def test_without_nft_no_door_is_served_and_cleartext_is(house: DoorHouse) -> None:
    code = (
        "import sys; from mailtls.edge import nftables; nftables.COMMAND = 'no-such-nft';"
        "from mailtls.keeper import main; sys.exit(main())"
    )
    command = house.house.command()
    house.house.command = lambda *options: [command[0], "-c", code, *command[3:], *options]  # type: ignore[method-assign]
    with house.net.server:
        house.house.start()
    assert "apt-get install nftables" in house.faults()["nftables"]
    assert "no nft here" in (house.grant(PEER).refused or "")
    assert house.grant(PEER, "cleartext").live
    ended(house, PEER)
    assert "Traceback" not in house.house.words.read_text()


def test_a_container_that_publishes_port_25_is_a_warning(house: DoorHouse) -> None:
    house.net.server.nft(
        "table ip nat { chain DOCKER { type nat hook prerouting priority dstnat; policy accept;\n"
        "iifname \"docker0\" tcp dport 25 dnat to 172.17.0.2:25\n}\n}"
    )
    house.start()
    wait_until(lambda: "chain ip nat DOCKER leads port 25 elsewhere" in house.faults().get("firewall", ""))
    assert house.grant(PEER).live, "nothing hangs on it"
