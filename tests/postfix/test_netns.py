"""The network of the tests' own, proved with a door made by hand: what the tests of the doors stand on.

The rules here are typed as an operator would type them (facts: `dnat to :PORT`, a guard by the packet's first
destination); what the keeper makes of them is in test_doors.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator

import pytest

from .clients import TLS10_ONLY, TLS13_MODERN, insists
from .configuration import Settings
from .doors import EVERYWHERE, Internet, MailServer, context_of, matrix
from .instance import ADDRESS
from .netns import SECOND4, SECOND6, SERVER4, SERVER6, network, why_no_namespaces

pytestmark = pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces() or "")

DOOR, WITH_TICKETS = 10225, 10226
PEERS, TICKET_HOLDER = ("198.51.100.7", "2001:db8:77::7"), "198.51.100.8"
STRANGERS = ("203.0.113.7", "2001:db8:78::7")
BY_HAND = """
table inet byhand {{
  set door4 {{ type ipv4_addr; elements = {{ {} }}; }}
  set door6 {{ type ipv6_addr; elements = {{ {} }}; }}
  chain pre {{
    type nat hook prerouting priority dstnat;
    tcp dport 25 ip saddr {holder} dnat to :{tickets}
    tcp dport 25 ip saddr @door4 dnat to :{port}
    tcp dport 25 ip6 saddr @door6 dnat to :{port}
  }}
  chain guard {{
    type filter hook input priority filter;
    iif != lo tcp dport {port} ct original proto-dst != 25 drop
  }}
}}
""".format(*PEERS, port=DOOR, holder=TICKET_HOLDER, tickets=WITH_TICKETS)


class ByHand(MailServer):
    """A mail server whose `legacy` service stands on a port of every address; and once more, where it gives tickets."""

    def _configure(self) -> None:
        super()._configure()
        master = self.configuration / "master.cf"
        text = master.read_text().replace(f"{ADDRESS}:{self.ports['legacy']} inet", f"{DOOR} inet")
        entry = text[text.index(f"{DOOR} inet") : text.index(f"{ADDRESS}:{self.ports['postscreen']}")]
        other = entry.replace(f"{DOOR} inet", f"{WITH_TICKETS} inet").replace("=NO_TICKET", "=")
        master.write_text(text + other)


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[Internet, MailServer]]:
    with network() as net, net.server, ByHand(Settings(extra=EVERYWHERE)) as postfix:
        net.server.nft(BY_HAND)
        yield Internet(net), postfix


def test_a_peer_comes_through_the_door_with_its_true_address_at_every_address_of_the_server(
    site: tuple[Internet, MailServer],
) -> None:
    internet, postfix = site
    for peer, hosts in zip(PEERS, ((SERVER4, SECOND4), (SERVER6, SECOND6)), strict=True):
        for host in hosts:
            assert internet.meet(insists(TLS10_ONLY), peer, host).delivered
        postfix.wait_for(rf"postfix/mailtls-legacy/smtpd\[\d+\]: disconnect from unknown\[{re.escape(peer)}\]", 2)


def test_a_stranger_with_the_same_handshake_is_refused_and_a_modern_one_is_served(
    site: tuple[Internet, MailServer],
) -> None:
    internet, postfix = site
    for stranger in STRANGERS:
        assert not internet.meet(insists(TLS10_ONLY), stranger).delivered
        assert internet.meet(insists(TLS13_MODERN), stranger).delivered
        postfix.wait_for(rf"postfix/smtpd\[\d+\]: disconnect from unknown\[{re.escape(stranger)}\]", 2)


def test_the_doors_own_port_is_closed_to_everybody(site: tuple[Internet, MailServer]) -> None:
    internet, _ = site
    for address in (*PEERS, *STRANGERS):
        with pytest.raises(OSError, match="timed out"):
            internet.knock(address, DOOR, patience_s=0.5)


def test_a_door_that_gives_tickets_opens_the_strict_one_to_whom_it_refuses(site: tuple[Internet, MailServer]) -> None:
    """Why every door has NO_TICKET: a session with its RSA certificate is resumed where there is only ECDSA."""
    internet, _ = site
    client = context_of("TLSv1_2", "aRSA")
    session, _ = internet.session_of(TICKET_HOLDER, client)
    assert session is not None
    with pytest.raises(ssl.SSLError, match="handshake failure"):
        internet.session_of(STRANGERS[0], client)
    assert internet.session_of(STRANGERS[0], client, session)[1], "resumed"
    session, _ = internet.session_of(PEERS[0], client)
    with pytest.raises(ssl.SSLError, match="handshake failure"):
        internet.session_of(STRANGERS[0], client, session)


def test_the_matrix_of_handshakes_tells_the_strict_door_from_the_other(site: tuple[Internet, MailServer]) -> None:
    internet, _ = site
    strict, door = (matrix(internet, address) for address in (STRANGERS[0], PEERS[0]))
    assert strict["TLSv1 ALL"] == "TLSV1_ALERT_PROTOCOL_VERSION"
    assert door["TLSv1 ALL"].startswith("TLSv1 ")
    assert strict["TLSv1_3"].startswith("TLSv1.3 ")
    assert len(strict) > 100
