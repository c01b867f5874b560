"""`report --format json`: one object, written as it is made.

The shape is a contract (docs/report.md, tests/ctl/test_reportjson.py holds it as pydantic models):

    {"verdicts": [{"peer_ip", "peer_name", "service", "door", "outcome", "tls_version", "cipher", "reason", "cause",
                   "count", "first_seen", "last_seen"}, ...],
     "peers":    [{"peer_ip", "peer_name", "diagnosis", "outage", "confidence", "advice", "evidence": [line, ...],
                   "failures", "first_seen", "last_seen", "causes": {cause: count}, "underlying",
                   "refuses_cleartext"}, ...],
     "server":   [{"finding", "detail", "evidence": [line, ...], "count", "first_seen", "last_seen",
                   "victims": [address, ...]}, ...],
     "lines":    {"read", "understood", "ignored", "unknown"}}

Times are RFC 3339 with offset, null where the log has no stamps. A verdict without peer is the server's own fault.
There may be a hundred thousand verdicts, so rows are written one by one, one a line, and never all in memory; no
pydantic here, because importing it takes longer than most logs.

SECURITY: only ASCII leaves, everything else as \\u escapes, after strangers' control characters were replaced; what
`jq -r` prints is fit for a terminal too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from json.encoder import encode_basestring_ascii

from mailtls.core.diagnosis import Report
from mailtls.core.history import History, Tally, Verdict
from mailtls.core.printable import printable

LONGEST = 4096  # characters of one text


def json_pieces(history: History, report: Report) -> Iterator[str]:
    """Write the object, in pieces."""
    yield '{"verdicts": ['
    yield from _listed(verdict_rows(history))
    yield '],\n"peers": ['
    yield from _listed(to_json(peer.as_row()) for peer in report.peers)
    yield '],\n"server": ['
    yield from _listed(to_json(finding.as_row()) for finding in report.server)
    lines = history.lines
    counts = {"read": lines.read, "understood": lines.understood, "ignored": lines.ignored, "unknown": lines.unknown}
    yield f'],\n"lines": {json.dumps(counts)}}}\n'


def verdict_rows(history: History) -> Iterator[str]:
    """Write one row per peer and kind of session, peers in the order of the log; the server's own faults last.

    The rows of a busy server are most of the work of a report, so they are put together by hand, and what verdicts
    have in common is written once.
    """
    common: dict[Verdict, str] = {}
    ip: str | None = ""
    who = ""
    for peer_ip, peer_name, verdict, tally in history.rows():
        if peer_ip != ip or not who:
            ip, who = peer_ip, f'{{"peer_ip": {_quoted(peer_ip)}, "peer_name": {_quoted(peer_name)}, '
        what = common.get(verdict)
        if what is None:
            what = common[verdict] = _what(verdict)
        yield f"{who}{what}{_how_often(tally)}"


def to_json(value: object) -> str:
    """Write a value as JSON: texts printable, times RFC 3339, the rest as json does."""
    return json.dumps(_plain(value))


def _quoted(words: str | None) -> str:
    if words is None:
        return "null"
    return encode_basestring_ascii(_printable(words))


def _printable(words: str) -> str:
    """Spare the usual text the search for what is dangerous."""
    fine = words.isascii() and words.isprintable() and len(words) <= LONGEST
    return words if fine else printable(words, longest=LONGEST)


def _plain(value: object) -> object:
    match value:
        case str():
            return _printable(value)
        case datetime():
            return value.isoformat()
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value


def _what(verdict: Verdict) -> str:
    fields = ("service", "door", "outcome", "tls_version", "cipher", "reason", "cause")
    return ", ".join(f'"{name}": {to_json(getattr(verdict, name))}' for name in fields) + ", "


def _how_often(tally: Tally) -> str:
    first = f'"{tally.first.isoformat()}"' if tally.first is not None else "null"
    last = f'"{tally.last.isoformat()}"' if tally.last is not None else "null"
    return f'"count": {tally.count}, "first_seen": {first}, "last_seen": {last}}}'


def _listed(rows: Iterable[str]) -> Iterator[str]:
    between = "\n"
    for row in rows:
        yield between
        yield row
        between = ",\n"
