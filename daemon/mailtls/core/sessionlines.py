"""Session lines: the patterns of successes and ends of sessions, which are the bulk of what a busy log says of TLS.

Each is matched once for two answers. Of every session it gathers what it was (version and cipher, or how STARTTLS
went); of the clients that somebody asks for, also their name, address and the rest of the line: that begins with a
space and ends with a newline, which no other answer has. Clients are only taken so where the line has its own header
of one certain service in front, so that the words of strangers further on in a line are nobody's session. Of any other
line with such an address an `m` is gathered: `windows_of` and `headed` then look at the header.
"""

from __future__ import annotations

import re

# Bytes from a line's beginning to the end of its client's address: nearly always, and at most (RFC 3164 and 1035:
# stamp, host, tag, Postfix's words, name and address). What is further on in its line are a stranger's words.
NEAR, FAR = 192, 640

_CLIENT = rb"[^[\n]++\[[^]\n]*+\]\S*+"
_ENDED, _SUCCEEDED = rb"disconnect from", rb"TLS connection established from"
_VERIFICATION = (rb"Anonymous ", rb"Untrusted ", rb"Trusted ", b"", rb"Verified ")
_DIGITS = (5, 4, 6, 7, 3, 2, 1)  # of a process number, the usual ones first
# smtpd/smtpd.c:smtpd_format_cmd_stats. Most tags end in `x/smtpd`, which is no service in wrapper mode; the `]` is
# gathered for any other. Then an `s` for STARTTLS, and a `0` where it was refused.
_USUAL_TAG = rb"|".join(rb"(?<=x/smtpd\[\d{%d}\]: disconnect from )" % digits for digits in _DIGITS)
_WORDS = rb"(?: (?!starttls=)\S++)*"  # no possessive group: Python 3.11.2 gets those wrong (gh-106052)
ELSEWHERE = rb"\]: disconnect from " + _CLIENT + rb"(?!" + _WORDS + rb" starttls=)"
"""Ends of sessions without STARTTLS, at any service."""


def ends(addresses: bytes, own: bytes) -> tuple[bytes, bytes]:
    """Pattern and template of the ends of sessions: client or `m`, `]`, `s`, `0`, as far as there is each."""
    pattern = (
        _ENDED + _asked(addresses, own) + rb" (?:" + _USUAL_TAG + rb"|(?<=(\]): disconnect from ))" + _CLIENT + _WORDS
        + rb"(?: (s)tarttls=(0(?=/))?)?"
    )  # fmt: skip
    return pattern, b"%b%b%b%b%b"


def successes(addresses: bytes, own: bytes) -> tuple[bytes, bytes]:
    """Pattern and template of successful handshakes: client or `m`, version and cipher, a newline.

    tls/tls_misc.c:tls_log_summary; tlsproxy names no client before the bracket, its lines are for the assembler.
    """
    pattern = (
        _SUCCEEDED + _asked(addresses, own) + rb" [^[\n]++\[[^]\n]*+\](?:: |[^\n]*?: )"
        + rb"((?:TLS|SSL)v[\d.]{1,4} with cipher \S{1,80}+)"
    )  # fmt: skip
    return pattern, b"%b%b%b\n"


def own_ends(stamp_width: int, host_and_tag: bytes) -> bytes:
    """Write what stands before the end of a session of one service: nothing but its header."""
    return _own(stamp_width, host_and_tag, (_ENDED,))


def own_successes(stamp_width: int, host_and_tag: bytes) -> bytes:
    """Write what stands before a success of one service: nothing but its header and how the client was verified."""
    return _own(stamp_width, host_and_tag, tuple(word + _SUCCEEDED for word in _VERIFICATION))


def _own(stamp_width: int, host_and_tag: bytes, words: tuple[bytes, ...]) -> bytes:
    if not host_and_tag:
        return rb"(?!)"
    head = rb"(?m:^)[^\n]{%d}" % stamp_width + re.escape(host_and_tag)
    return rb"|".join(rb"(?<=%b\[\d{%d}\]: %b)" % (head, digits, text) for text in words for digits in _DIGITS)


def _asked(addresses: bytes, own: bytes) -> bytes:
    """Write the group that takes the client and the rest of the line if it is one of these, else nothing."""
    return rb"(?:(?= [^[\n]++\[" + addresses + rb"\])(?:(?:" + own + rb")(?=( [^\n]*+\n))|(?<=(m))))?"


def windows_of(addresses: bytes, own: tuple[bytes, bytes], window: int) -> bytes:
    """Write the pattern of all other lines of some addresses: so many bytes up to the address, the rest of the line."""
    ended, succeeded = own
    return (
        rb"(?:" + _ENDED + rb"(?!" + ended + rb")|" + _SUCCEEDED + rb"(?!" + succeeded + rb")) [^[\n]++\[" + addresses
        + rb"\](?<=((?s:.{%d})))([^\n]*+)" % window
    )  # fmt: skip


def headed(stamp_width: int) -> bytes:
    """Write the pattern of what `windows_of` gathered: each window ends with a line that has its own header in front.

    A window begins anywhere in a line: the NUL before it tells that from the beginning of a line.
    """
    return (
        rb"\n[^\n\x00]{%d}([^]\n\x00[]*+)\[\d{1,7}\]: (?:Anonymous |Untrusted |Trusted |Verified )?"
        rb"((?:disconnect|TLS connection established) from [^[\n]++\[[^]\n]*+\])\x00([^\n]*+)" % stamp_width
    )
