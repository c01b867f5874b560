"""How many messages Postfix took in a session, by its replies: what the gateway passes on, and looks at for this only.

Postfix answers the end of a message with `250 2.0.0 Ok: queued as ID` (smtpd/smtpd.c:data_cmd and bdat_cmd); a content
filter before the queue repeats that in words of its own. A client's text is never looked at.
"""

from __future__ import annotations

LONGEST = 1024
"""Bytes of an unfinished line that are kept; a reply has fewer (RFC 5321 4.5.3.1.5: 512)."""


class AcceptedMail:
    """Feed it what Postfix says, in any pieces; `count` is how many messages were taken."""

    def __init__(self) -> None:
        self.count = 0
        self._begun = b""

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        *lines, begun = (self._begun + data).split(b"\n")
        self._begun = begun[:LONGEST]
        self.count += sum(line.startswith(b"250 ") and b"queued as " in line for line in lines)
