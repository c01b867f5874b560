"""Evidence: one fact that one log line states.

A named tuple, not a frozen dataclass: one is made for every line of interest, and a tuple costs a third.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple


class Kind(Enum):
    """What a line of smtpd, postscreen or tlsproxy states."""

    CONNECT = auto()  # who
    DISCONNECT = auto()  # who, text: command statistics ("" before Postfix 3.0)
    ACCEPT_ERROR = auto()  # who, text: -1, 0, "lost connection" or the words of errno
    LIBRARY = auto()  # text: error:... ; who is not said
    ESTABLISHED = auto()  # who, text: "TLSv1.3 with cipher X (128/128 bits)..."
    LOST = auto()  # who, text: the stage (STARTTLS, CONNECT, DATA ...)
    CLIENT = auto()  # who: a mail was accepted for queueing
    HIDDEN = auto()  # STARTTLS was hidden from the client of this session
    REFUSED = auto()  # who, text: why the server refused to start TLS in this session
    SERVER_FAULT = auto()  # who, text: a setting of the server broke the TLS of this session
    STATEMENT = auto()  # text: the server says that its TLS cannot work
    PRELUDE = auto()  # text: a warning that may explain the statement behind it
    PLAIN_PORT_HELLO = auto()  # who: TLS bytes arrived where SMTP was expected
    PROXY_CONNECT = auto()  # who: tlsproxy
    PROXY_FAILED = auto()  # who: tlsproxy
    PROXY_DISCONNECT = auto()  # who: tlsproxy


class Evidence(NamedTuple):
    """One fact. `who`: the peer as spelled (`name[address]`, `[address]:port`), empty where none is named."""

    kind: Kind
    who: bytes
    text: bytes
