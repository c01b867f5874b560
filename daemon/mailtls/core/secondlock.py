"""The second lock of a door: the pair of tables that its own service asks whether a client is waived.

The first lock, nftables, sends only waived peers there. Should it fail, or somebody reach the door past it, the
service knows its clients by these tables and answers everybody else with 450. An entry's value is a restriction class
of the door's entry in master.cf, which holds what the site asks of clients anyway.

Who is no longer waived stays in the tables for a while: a session that began through the door asks at every recipient.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from mailtls.core.tablepair import TablePair, apart

WAIVED = "mailtls_waived"
"""The restriction class of the door's entry; the value of every entry."""

LINGERS = timedelta(minutes=10)
"""So long after its end a waiver's entry stays."""


def waived_tables(peers: Iterable[str]) -> TablePair:
    """Make the tables that let these addresses and networks (canonical) through."""
    hosts, networks = apart(dict.fromkeys(peers))
    return TablePair(dict.fromkeys(hosts, WAIVED), tuple((network, WAIVED) for network in networks))
