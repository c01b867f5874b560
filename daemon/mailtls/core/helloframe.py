"""A frame that the kernel's filter let pass, read once more: whose hello or alert it is, or nothing.

The filter looks at a few bytes; here lengths are respected, too: what lies behind the end of the IP packet (a short
frame is filled up by the card) is no payload.
"""

from __future__ import annotations

from mailtls.core.capture import Frame
from mailtls.core.hellorecord import Kind, Sighting
from mailtls.core.segment import RAW, read_segment

_ALERT, _ALERT_SIZE = 0x15, 7
_KINDS = {0x16: Kind.HELLO, _ALERT: Kind.ALERT}


def read_frame(packet: bytes, at: float) -> Sighting | None:
    """Read a packet that begins with its IP header; `at`: seconds since 1970. None where it tells nothing."""
    segment = read_segment(Frame(RAW, at, packet))
    if segment is None or not segment.data:
        return None
    first = segment.data[0]
    kind = Kind.HELLO if first & 0x80 else _KINDS.get(first)
    if kind is None or (kind is Kind.ALERT and len(segment.data) < _ALERT_SIZE):
        return None
    data = segment.data[:_ALERT_SIZE] if kind is Kind.ALERT else segment.data
    return Sighting(kind, at, segment.source, segment.source_port, segment.target, segment.target_port, data)
