"""Session lines: the patterns of successes and ends of sessions, which are the bulk of what a busy log says of TLS.

Each is matched once for two answers: what the session was, and, of those clients that somebody asks for, who. PCRE2
copies what it gathers byte by byte, and that takes longer than to find it. So as little as possible is gathered: a byte
for how STARTTLS went, a few for a usual version and cipher (`codes_of`), and of a client asked for its name and
address, with the rest of the line only for a plaintext session, and nothing where nothing came of the session.

Clients are only taken where the line has its own header of one certain service in front, so that the words of strangers
further on in a line are nobody's session. Of any other line with such an address a lone space is gathered:
`other_lines` and `headed` then look at the header.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

# Bytes from a line's beginning to the end of its client's address: nearly always, and at most (RFC 3164 and 1035:
# stamp, host, tag, Postfix's words, name and address). What is further on in its line are a stranger's words.
NEAR, FAR = 192, 640

_NAMED = rb"[^[\n]++\[[^]\n]*+\]"
_CLIENT = rb"[^][\s=/]++\[[^]\s=/]*+\]"  # as Postfix itself writes one; of anything else a lone space is gathered
_ENDED, _SUCCEEDED = rb"disconnect from", rb"TLS connection established from"
_VERIFICATION = (rb"Anonymous ", rb"Untrusted ", rb"Trusted ", b"", rb"Verified ")
_DIGITS = (5, 4, 6, 7, 3, 2, 1)  # of a process number, the usual ones first
# smtpd/smtpd.c:smtpd_format_cmd_stats
_USUAL_TAG = rb"|".join(rb"(?<=x/smtpd\[\d{%d}\]: disconnect from )" % digits for digits in _DIGITS)
_WORDS = rb"(?: (?!starttls=)\S++)*"  # no possessive group: Python 3.11.2 gets those wrong (gh-106052)
_WITH_TLS = rb"[^\n]*? starttls="
_MAILED = rb"[1-9][^\n]*? (?:data|bdat)=[1-9]"
_SUITE = rb"(?:TLS|SSL)v[\d.]{1,4} with cipher \S{1,80}+"
_SHORTEST = len(b"TLSv1 with cipher X")
ELSEWHERE = rb"\]: disconnect from " + _NAMED + rb"\S*+(?!" + _WORDS + rb" starttls=)"
"""Ends of sessions without STARTTLS, at any service."""


def ends(addresses: bytes, own: bytes) -> tuple[bytes, bytes]:
    """Pattern and template of the ends of sessions; of each, as far as there is one, without any separator:

    a space and, if the header is its own, the client asked for, and if the session was a plaintext one the rest of the
    line and a newline; `]` for a tag that does not end in `x/smtpd` (most do, and that is no service in wrapper mode);
    `=` for STARTTLS, or `/` where it was refused.
    """
    nothing_came = _WITH_TLS + rb"(?!" + _MAILED + rb")"
    pattern = (
        _ENDED + rb"(?:(?= [^[\n]++\[" + addresses + rb"\](?!" + nothing_came + rb"))"
        + rb"(?=( (?:" + own + _CLIENT + rb"(?:(?!" + _WITH_TLS + rb")[^\n]*+\n)?)?)))?"
        + rb" (?:" + _USUAL_TAG + rb"|(?<=(\]): disconnect from ))" + _NAMED + rb"\S*+" + _WORDS
        + rb"(?: starttls(?:=0(?=/))?([=/]))?"
    )  # fmt: skip
    return pattern, b"%b%b%b"


def successes(addresses: bytes, own: bytes, codes: Collection[bytes] = ()) -> tuple[bytes, bytes]:
    """Pattern and template of successful handshakes: client as above, version and cipher (or its code), a newline.

    tls/tls_misc.c:tls_log_summary; tlsproxy names no client before the bracket, its lines are for the assembler.
    """
    coded = rb"".join(
        re.escape(suite[:length]) + rb"(?=" + re.escape(suite[length:]) + rb"(?!\S))|"
        for length, suite in enumerate(codes, 1)
    )
    pattern = (
        _SUCCEEDED + rb"(?:(?= [^[\n]++\[" + addresses + rb"\])(?=( (?:" + own + _CLIENT + rb")?)))?"
        + rb" " + _NAMED + rb"(?:: |[^\n]*?: )(" + coded + _SUITE + rb")"
    )  # fmt: skip
    return pattern, b"%b%b\n"


def codes_of(suites: Sequence[bytes]) -> dict[bytes, bytes]:
    """Codes for the most frequent suites, and what they stand for: the first byte, the first two, and so on.

    Each is of another length and shorter than any suite, so all differ.
    """
    return {suite[:length]: suite for length, suite in enumerate(suites[: _SHORTEST - 1], 1)}


def own_ends(stamp_width: int, host_and_tag: bytes) -> bytes:
    """Write what stands before the client at the end of a session of one service: nothing but its header."""
    return _own(stamp_width, host_and_tag, (_ENDED,))


def own_successes(stamp_width: int, host_and_tag: bytes) -> bytes:
    """Write what stands before the client in a success of one service: its header and how the client was verified."""
    return _own(stamp_width, host_and_tag, tuple(word + _SUCCEEDED for word in _VERIFICATION))


def _own(stamp_width: int, host_and_tag: bytes, words: tuple[bytes, ...]) -> bytes:
    if not host_and_tag:
        return rb"(?!)"
    head = rb"(?m:^)[^\n]{%d}" % stamp_width + re.escape(host_and_tag)
    return rb"(?:%b)" % rb"|".join(
        rb"(?<=%b\[\d{%d}\]: %b )" % (head, digits, text) for text in words for digits in _DIGITS
    )


def other_lines(addresses: bytes, own: tuple[bytes, bytes], window: int) -> bytes:
    """Write the pattern of all other lines of some addresses: so many bytes up to the address, the rest of the line."""
    ended, succeeded = own
    return (
        rb"(?:" + _ENDED + rb" (?!" + ended + _CLIENT + rb")|" + _SUCCEEDED + rb" (?!" + succeeded + _CLIENT + rb"))"
        + rb"[^[\n]++\[" + addresses + rb"\](?<=((?s:.{%d})))([^\n]*+)" % window
    )  # fmt: skip


def headed(stamp_width: int) -> bytes:
    """Write the pattern of what `other_lines` gathered: each window ends with a line that has its own header in front.

    A window begins anywhere in a line: the NUL before it tells that from the beginning of a line.
    """
    return (
        rb"\n[^\n\x00]{%d}([^]\n\x00[]*+)\[\d{1,7}\]: (?:Anonymous |Untrusted |Trusted |Verified )?"
        rb"((?:disconnect|TLS connection established) from [^[\n]++\[[^]\n]*+\])\x00([^\n]*+)" % stamp_width
    )
