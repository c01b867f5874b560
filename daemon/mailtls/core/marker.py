"""Words that a line about TLS holds: one that has them and is not accepted by the grammar counts as unknown.

docs/report.md lists them for operators.
"""

from __future__ import annotations

MARKERS = (
    b"SSL_accept error",
    b"SSL_accept()",
    b"TLS library problem",
    b"TLS connection established from",
    b"starttls=",
    b"TLS handshak",
    b"disabling TLS support",
    b"No server certs available",
)


def has_marker(line: bytes) -> bool:
    """Tell whether one of the words stands in this line."""
    for marker in MARKERS:  # noqa: SIM110  (any() takes three times as long, and this is asked of most lines)
        if marker in line:
            return True
    return False
