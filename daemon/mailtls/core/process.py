"""A process of Postfix, as its lines show it: what the assembler remembers between them.

smtpd serves one session at a time, tlsproxy many (`endpoints`, by `[address]:port`). `statement`: what the process says
of the server's TLS, until its reason has passed; `broken`: it has said so. `library`: OpenSSL's line that waits for
the line it belongs to. `spoken`: some session of it was seen before.
"""

from __future__ import annotations

from mailtls.core.postfixlog import Program
from mailtls.core.sessionstate import OpenSession


class Process:
    """What is remembered of one process of smtpd or tlsproxy."""

    __slots__ = (
        "broken",
        "endpoints",
        "library",
        "prelude",
        "program",
        "says_failed",
        "session",
        "spoken",
        "statement",
        "tag",
    )

    def __init__(self, tag: bytes, program: Program) -> None:
        self.tag = tag
        self.program = program
        self.session: OpenSession | None = None
        self.statement: OpenSession | None = None
        self.prelude: bytes | None = None
        self.broken: str | None = None
        self.endpoints: dict[bytes, OpenSession] = {}
        self.library: bytes | None = None
        self.spoken = False
        self.says_failed = False
