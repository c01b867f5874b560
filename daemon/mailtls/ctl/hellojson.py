"""What `mailtlsctl hello --json` prints, as pydantic models: the contract for scripts."""

from __future__ import annotations

from datetime import datetime

from mailtls.core.helloshown import ShownHello
from mailtls.core.keeperprotocol import Message


class HelloRow(ShownHello):
    """One kind of hello of one peer, however often it came."""

    peer_ip: str
    server_ip: str
    server_port: int
    starttls: bool
    count: int
    first_seen: datetime | None
    last_seen: datetime | None


class Hellos(Message):
    """The whole answer. `doors_known`: setup has looked at Postfix, else the doors are those of Debian's as it comes.

    `given_up` connections and `left_out` hellos there was no room for; `cut_off`: bytes of a packet that is not whole.
    """

    hellos: tuple[HelloRow, ...]
    doors_known: bool
    packets: int
    connections: int
    given_up: int
    left_out: int
    cut_off: int
