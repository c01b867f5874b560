"""What `mailtlsctl hello --json` prints, as pydantic models: the contract for scripts."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from mailtls.core.level import Level


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DoorRow(_Row):
    """What one door would make of the hello. `reason`: OpenSSL's words where it would refuse, with its number."""

    door: str
    accepts: bool
    tls_version: str | None = None
    cipher: str | None = None
    reason: str | None = None
    reason_number: int | None = None


class HelloRow(_Row):
    """One kind of hello of one peer, however often it came.

    `truncated`: the capture does not have all of it. Names are OpenSSL's and Postfix's; what has none is hexadecimal.
    None instead of a list: the peer does not say. `narrowest`: the first door that takes it; `level`: of the waiver
    that would let the peer in; `changes`: what the peer would have to change where no door takes it.
    """

    peer_ip: str
    server_ip: str
    server_port: int
    starttls: bool
    count: int
    first_seen: datetime | None
    last_seen: datetime | None
    ja4: str
    truncated: bool
    sslv2_format: bool
    highest_version: str
    versions: tuple[str, ...] | None
    ciphers: tuple[str, ...]
    groups: tuple[str, ...] | None
    signature_algorithms: tuple[str, ...] | None
    point_formats: tuple[int, ...] | None
    server_name: str | None
    alpn: tuple[str, ...]
    extended_master_secret: bool
    session_ticket: bool
    doors: tuple[DoorRow, ...]
    narrowest: str | None
    level: Level | None
    changes: tuple[str, ...]


class Hellos(_Row):
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
