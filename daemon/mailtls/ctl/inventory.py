"""`mailtlsctl inventory`: what peers use at port 25, by version, cipher, key exchange and certificate, over time."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import date

from rich.table import Table

from mailtls.core.cause import Door
from mailtls.core.controlprotocol import AskInventory, Inventory, InventoryRow
from mailtls.core.printable import printable
from mailtls.core.tlsversion import TLS13, number_of
from mailtls.ctl import output
from mailtls.ctl.inquiry import ask_daemon, places_of, print_json
from mailtls.ctl.screen import Screen, figure, heading, plural, table
from mailtls.errors import ConfigError

COLUMNS = (
    "day", "source", "door", "encrypted", "tls_version", "cipher", "key_exchange", "server_key", "client_certificate",
    "peers", "sessions", "messages",
)  # fmt: skip
"""Of `--csv`: one row for each day and kind."""

_HEADS = {"postfix": "Messages, as Postfix itself told", "log": "Sessions, as the log told"}
_RISING = "▁▂▃▄▅▆▇█"
_RISING_ASCII = "._-=+*#@"
_BARS = 10


def inventory(*, days: int, limit: int, as_json: bool, as_csv: bool, config: str | None) -> int:
    """Print what is used; 0 also where nothing was seen. Raises ConfigError, UnreachableError, RefusedError."""
    if as_json and as_csv:
        raise ConfigError("--json and --csv are two forms of the same; take one of them")
    answer = ask_daemon(places_of(config), AskInventory(days=days, limit=limit))
    if as_json:
        print_json(answer, "inventory")
    elif answer.inventory is not None:
        output.write(_sheet(answer.inventory) if as_csv else _pages(answer.inventory, Screen()))
    return 0


def _sheet(found: Inventory) -> Iterator[str]:
    """Write RFC 4180; no cell begins with a sign that a spreadsheet would take for a formula."""
    yield ",".join(COLUMNS) + "\n"
    for row in found.rows:
        for day in row.by_day:
            line = io.StringIO()
            csv.writer(line, lineterminator="\n").writerow(
                [
                    day.day, row.source, row.door, "yes" if row.encrypted else "no", *map(_cell, (
                        row.tls_version, row.cipher, row.key_exchange, row.server_key, row.client_certificate
                    )), day.peers, day.sessions, day.messages,
                ]
            )  # fmt: skip
            yield line.getvalue()


def _cell(words: str | None) -> str:
    """SECURITY: the names of versions and ciphers come from a log that strangers may have a hand in."""
    return printable(words or "").lstrip("=+-@\t ")


def _pages(found: Inventory, view: Screen) -> Iterator[str]:
    window = plural(found.days, "day")
    if not found.peers:
        yield view.prose(f"Nobody was seen at port 25 in {window}.")
        return
    yield view.prose(
        f"{plural(found.peers, 'peer')} at port 25 in {window}; {plural(found.failed_sessions, 'session')} failed."
    )
    for source, head in _HEADS.items():
        rows = [row for row in found.rows if row.source == source]
        if rows:
            yield view.render(heading(head))
            yield view.render(_table(rows, source == "postfix"))
    if found.found > len(found.rows):
        first = f"The first {figure(len(found.rows))} of {figure(found.found)}"
        yield view.render(heading(f"{first}; --limit asks for more."))


def _table(rows: list[InventoryRow], told_by_postfix: bool) -> Table:
    first_day = min(day.day for row in rows for day in row.by_day)
    last_day = max(day.day for row in rows for day in row.by_day)
    counted = "messages" if told_by_postfix else "sessions"
    columns = (counted, "peers", "with", "key", f"{first_day[5:]}..{last_day[5:]}")
    lines = []
    for row in rows:
        count = row.messages if told_by_postfix else row.sessions
        lines.append((figure(count), figure(row.peers), _used(row), _key(row), _trend(row, first_day, last_day)))
    return table(columns, lines, numbers=2)


def _used(row: InventoryRow) -> str:
    what = " ".join(filter(None, (row.tls_version, row.cipher)))
    if not what:
        what = "TLS, version not told" if row.encrypted else "cleartext"
    door = "" if row.door == Door.STRICT else f" ({row.door})"
    if row.client_certificate in (None, "none"):
        return f"{what}{door}"
    return f"{what}{door}, client certificate {row.client_certificate}"


def _key(row: InventoryRow) -> str:
    """What the suite tells of key exchange and certificate; TLS 1.3 tells neither, and always agrees on a fresh key."""
    if row.tls_version is not None and (number_of(row.tls_version) or 0) >= TLS13:
        return "(EC)DHE"
    return " ".join(filter(None, (row.key_exchange, row.server_key if row.server_key != row.key_exchange else None)))


def _trend(row: InventoryRow, first_day: str, last_day: str) -> str:
    """Draw the count over the days, a sign for each of up to `_BARS` equal spans of time."""
    signs = _RISING if output.encoding().lower().startswith("utf") else _RISING_ASCII
    first, span = _ordinal(first_day), _ordinal(last_day) - _ordinal(first_day) + 1
    spans = [0] * min(span, _BARS)
    for day in row.by_day:
        spans[(_ordinal(day.day) - first) * len(spans) // span] += day.messages or day.sessions
    most = max(spans)
    return "".join(signs[(count * len(signs) - 1) // most] if count else " " for count in spans)


def _ordinal(day: str) -> int:
    return date.fromisoformat(day).toordinal()
