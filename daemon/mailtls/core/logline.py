"""The head of a log line: when, where, which program, which process; and where the message begins.

Every header form that mail logs were seen with: BSD syslog and RFC 3339 (rsyslog, syslog-ng, postlogd's
maillog_file), RFC 5424, journald short and JSON, docker-compose, docker and Kubernetes prefixes, `grep -n`, `cat -n`
and file-name prefixes, doubled stamps, no host, no stamp, no header at all, and the table of a web interface.

SECURITY: the program's tag is taken only where the header's form puts it. A stranger can make another daemon log
`x postfix/smtpd[1]: SSL_accept error from bank[192.0.2.1]: -1` (as a user name, say); such text stands behind that
daemon's own tag and is never read as a header. All quantifiers are bounded; lines are cut at `LONGEST` bytes.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from mailtls.core.stamp import STAMP

LONGEST = 16_384
LONGEST_JSON = 1_048_576


class LogLine(NamedTuple):
    """One line, taken apart. `source`: `host tag[pid]`, equal for all lines of one process; `stamp` may be empty."""

    stamp: bytes
    source: bytes
    tag: bytes
    message: bytes


_LEAD = (
    rb"[\s\xef\xbb\xbf]{0,64}"
    rb"(?:[\w.@-]{1,80} {0,40}\|[ \t]{1,4})?"  # docker-compose: `mail-server    | `; one word, so no other header fits
    rb"(?:\[pod/[^\s\]]{1,200}\] )?"  # kubectl logs --prefix
    rb"(?:[\w./+-]{1,200}:(?:\d{1,12}:)?(?=[A-Z<\d]))?"  # grep: `mail.log:17:`
    rb"(?:\d{1,9}[:\t .)-][ \t]{0,8}(?=[A-Z<\d]))?"  # numbered
)
_HEAD = re.compile(
    _LEAD + rb"(?:<\d{1,3}>(?:1 )?)?"
    rb"\[?(" + STAMP + rb")\]?:?"
    rb"(?:[ \t]{0,8}(?:std(?:out|err) [FP] |[^\s\[\]:]{1,255} )?\[?(" + STAMP + rb")\]?)?"
    rb"(?:[ \t]{1,16}(.{1,400}))?"
)
# `host tag[pid]: `, `tag[pid]: `, `host tag pid msgid sd ` (RFC 5424), `[tag] `; BusyBox's syslogd writes facility and
# severity behind the host, rsyslog templates of containers the severity in its place; `[host]` was taken out
_TAG = rb"([^\s:\[\]|]{1,120})(?:\[(\d{1,10})\])?:(?:[ \t]|$)"
_HOST_AND_TAG = re.compile(
    rb"([^\s\[\]]{0,254}[^\s\[\]:]|\[[\w.-]{1,60}\](?= (?:\S{1,60}\[\d|postfix|dovecot: ))) {1,8}"
    rb"(?:\d{1,9} |(?:mail|daemon|user|local\d)\.[a-z]{3,7} )?" + _TAG
)
# What nearly every line is: rsyslog's two forms, one host, one tag with a pid. The other patterns read it alike, in ten
# times as long; a host that begins with a letter and has no colon cannot be a second stamp.
_USUAL = re.compile(
    rb"([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)) "
    rb"(([A-Za-z][\w.-]{0,254}) ([^\s:\[\]|]{1,120})\[\d{1,10}\]): "
)
_STREAMS = (b"stdout F ", b"stderr F ", b"stdout P ", b"stderr P ")
_SEVERITIES = frozenset((b"DEBUG", b"INFO", b"NOTICE", b"WARN", b"WARNING", b"ERR", b"ERROR", b"CRIT", b"ALERT"))
_TAG_ALONE = re.compile(_TAG)
_BRACKETED = re.compile(rb"(?:([^\s\[\]:]{1,255}) )?\[([\w./-]{1,64})\] ")
_RFC5424 = re.compile(
    rb"([^\s]{1,255}) ([^\s\[\]:]{1,120}) (\d{1,10}|-) [^\s]{1,64} (?:-|(?:\[[^\]]{0,500}\]){1,8}) (?:\xef\xbb\xbf)?"
)
_WEB_TABLE = re.compile(rb"(?:info|notice|warning|error|err|crit|alert|emerg|debug)\t")
_NUMBERED = re.compile(rb"\d{1,9}[:\t .)-][ \t]{0,8}|[\w.@-]{1,80} {0,40}\|[ \t]{1,4}")
_PROGRAM_TAGS = re.compile(
    rb"(?:[^\s:\[\]]{1,100}/)?(?:smtpd|postscreen|tlsproxy|lmtp|smtp|master|dovecot|[a-z0-9]{2,12}-login)$"
)


def split(line: bytes) -> LogLine | None:
    """Take one line apart (without its line end); None where no header form fits."""
    if len(line) > LONGEST and not line.startswith(b"{"):
        line = line[:LONGEST]
    usual = _USUAL.match(line)
    if usual is not None and usual[3] not in _SEVERITIES and not line.startswith(b"[ID ", usual.end()):
        return LogLine(usual[1], usual[2], usual[4], line[usual.end() :])
    return split_unusual(line)


def split_unusual(line: bytes) -> LogLine | None:
    """Take a line of any form apart."""
    match = _HEAD.match(line)
    if match is None:
        if line.lstrip()[:1] == b"{":
            return _split_json(line)
        return _split_bare(line)
    stamp = match[2] or match[1]
    position = match.start(3)
    if position < 0:
        return None
    return _split_behind_stamp(stamp, line, position)


def _split_behind_stamp(stamp: bytes, line: bytes, position: int) -> LogLine | None:
    if line.startswith(_STREAMS, position):
        position += 9  # a container's log, without a stamp of the program's own
    match = _TAG_ALONE.match(line, position)
    if match is not None:
        return _line(stamp, b"", match[1], match[2], line[match.end() :])
    match = _HOST_AND_TAG.match(line, position)
    if match is not None:
        return _line(stamp, match[1], match[2], match[3], line[match.end() :])
    match = _RFC5424.match(line, position)
    if match is not None:
        return _line(stamp, match[1], match[2], match[3], line[match.end() :])
    match = _BRACKETED.match(line, position)
    if match is not None:
        return _line(stamp, match[1] or b"", match[2], None, line[match.end() :])
    match = _WEB_TABLE.match(line, position)
    if match is not None:
        return LogLine(stamp, b"", b"", line[match.end() :])
    return None


def _split_bare(line: bytes) -> LogLine | None:
    """No stamp: only tags of programs that we know, at the very start or behind one word (the host)."""
    line = line.lstrip()
    number = _NUMBERED.match(line)
    if number is not None:
        line = line[number.end() :]
    match = _TAG_ALONE.match(line)
    if match is not None and _PROGRAM_TAGS.match(match[1]):
        return _line(b"", b"", match[1], match[2], line[match.end() :])
    match = _HOST_AND_TAG.match(line)
    if match is not None and _PROGRAM_TAGS.match(match[2]):
        return _line(b"", match[1], match[2], match[3], line[match.end() :])
    return None


def _line(stamp: bytes, host: bytes, tag: bytes, pid: bytes | None, message: bytes) -> LogLine:
    if host in _SEVERITIES:  # no host: it would part the lines of one process
        host = b""
    if message.startswith(b"[ID "):  # syslog of Solaris: `[ID 197553 mail.info] `
        message = message.partition(b"] ")[2]
    return LogLine(stamp, b"%b %b[%b]" % (host, tag, pid or b""), tag, message)


def _split_json(line: bytes) -> LogLine | None:
    """journald's export as JSON (`journalctl -o json`), and docker's json-file around another header."""
    if len(line) > LONGEST_JSON:
        return None
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict):
        return None
    inner = entry.get("log")
    if isinstance(inner, str):
        return split(inner.rstrip("\r\n").encode("utf-8", "replace")[:LONGEST])
    message = _json_message(entry.get("MESSAGE"))
    if message is None:
        return None
    tag = _text(entry.get("SYSLOG_IDENTIFIER") or entry.get("_COMM"))
    pid = _text(entry.get("SYSLOG_PID") or entry.get("_PID"))
    stamp = _text(entry.get("_SOURCE_REALTIME_TIMESTAMP") or entry.get("__REALTIME_TIMESTAMP"))
    return _line(stamp, _text(entry.get("_HOSTNAME")), tag, pid if pid.isdigit() else None, message)


def _json_message(value: object) -> bytes | None:
    """MESSAGE is a string, or an array of byte values where it is not valid UTF-8 or holds control characters."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace")[:LONGEST]
    if isinstance(value, list) and all(isinstance(item, int) and 0 <= item < 256 for item in value):
        return bytes(value[:LONGEST])
    return None


def _text(value: object) -> bytes:
    return value.encode("utf-8", "replace")[:256] if isinstance(value, str) else b""
