"""`mailtlsctl hello FILE.pcap`: what clients offered in captured packets, and which doors would take them.

Pure but for reading: no daemon, no root. The doors are those that setup found; where it has not looked, those of
Debian's Postfix as it comes. What is equal of one peer (by JA4) is told once, with a count.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from mailtls.config import read_config
from mailtls.core.doorchoice import STOCK, Doors, Way, choose, doors_of
from mailtls.core.fingerprint import fingerprint
from mailtls.core.hellofinder import PORTS, CapturedHello
from mailtls.core.helloshown import shown
from mailtls.ctl import output
from mailtls.ctl.hellojson import HelloRow, Hellos
from mailtls.ctl.hellolines import hello_lines
from mailtls.ctl.screen import ADDRESS, BAD, Screen, plural, span
from mailtls.edge.capturefile import CaptureFile

MOST = 50_000  # different hellos that are told
NUMBERS = 3_000_000  # that they offer together; a broken one may have 30,000
_FINE = 20  # of those that the strict door takes, so many are told in text; --json has all


@dataclass(slots=True)
class _Seen:
    """One kind of hello of one peer: the first, and how often it came, from when to when (seconds since 1970)."""

    hello: CapturedHello
    count: int = 0
    first: float | None = None
    last: float | None = None


def hello(file: str, *, ports: Collection[int], as_json: bool, config: str | None) -> int:
    """Read the capture and print what is in it; 0 also where there is no hello. Raises ConfigError, InputError."""
    known = doors_of(read_config(config).postfix)
    capture = CaptureFile(file, ports or PORTS)
    seen, left_out = _gather(capture)
    rows = tuple(_row(one, known or STOCK) for one in seen.values())
    answer = Hellos(
        hellos=rows, doors_known=known is not None, packets=capture.packets, connections=capture.connections,
        given_up=capture.given_up, left_out=left_out, cut_off=capture.cut_off,
    )  # fmt: skip
    if as_json:
        output.write_json(answer.model_dump_json(indent=1))
    else:
        output.write(_pages(answer, Screen(), sorted(ports or PORTS)))
    return 0


def _gather(capture: CaptureFile) -> tuple[dict[tuple[str, str], _Seen], int]:
    """Count the hellos by peer and JA4; also give how many there was no room for."""
    seen: dict[tuple[str, str], _Seen] = {}
    left_out = held = 0
    for one in capture.hellos():
        key = (one.peer, fingerprint(one.hello))
        if key not in seen:
            if len(seen) >= MOST or held + one.hello.size > NUMBERS:
                left_out += 1
                continue
            held += one.hello.size
        row = seen.setdefault(key, _Seen(one, first=one.at))
        row.count += 1
        row.last = one.at
    return seen, left_out


def _row(seen: _Seen, doors: Doors) -> HelloRow:
    found, offer = seen.hello, seen.hello.hello
    return HelloRow(
        peer_ip=found.peer,
        server_ip=found.server,
        server_port=found.server_port,
        starttls=found.starttls,
        count=seen.count,
        first_seen=_time(seen.first),
        last_seen=_time(seen.last),
        **shown(offer, choose(offer, doors)),
    )


def _time(seconds: float | None) -> datetime | None:
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None  # a broken capture may claim any time


# --- to read -------------------------------------------------------------------------------------------------------


def _pages(answer: Hellos, view: Screen, ports: list[int]) -> Iterator[str]:
    fine = [row for row in answer.hellos if row.narrowest == Way.STRICT]
    for row in sorted((row for row in answer.hellos if row.narrowest != Way.STRICT), key=_depth):
        yield from _hello_lines(row, view)
    for row in fine[:_FINE]:
        yield from _hello_lines(row, view)
    if len(fine) > _FINE:
        yield view.prose(f"The strict door takes {plural(len(fine) - _FINE, 'hello')} more; --json lists them.")
    if not answer.hellos:
        listed = ", ".join(str(port) for port in ports)
        yield view.prose(
            f"No hello to port {listed} is in the capture ({plural(answer.packets, 'packet')}, "
            f"{plural(answer.connections, 'connection')}); another port is named with --port."
        )
    if answer.left_out or answer.given_up:
        yield view.prose(
            f"{plural(answer.left_out, 'hello')} and {plural(answer.given_up, 'connection')} more there was no room "
            "for; divide the capture.",
            BAD,
        )
    if answer.cut_off:
        yield view.prose("The capture ends in the middle of a packet; what is before that was read.", BAD)
    if answer.hellos and not answer.doors_known:
        yield view.prose(
            "Which doors this machine has is not known (mailtlsctl setup looks); strict is here Debian's Postfix as it "
            "comes, with an RSA and an ECDSA certificate."
        )


def _depth(row: HelloRow) -> int:
    """Put those first whom no door takes, then those who need the deepest."""
    return -len(Way) if row.narrowest is None else -list(Way).index(Way(row.narrowest))


def _hello_lines(row: HelloRow, view: Screen) -> Iterator[str]:
    local = [at.astimezone() if at is not None else None for at in (row.first_seen, row.last_seen)]
    times = f"; {span(*local)}" if row.first_seen is not None else ""
    how = "STARTTLS" if row.starttls else "TLS at once"
    yield view.prose(
        f" to {row.server_ip} port {row.server_port}, {how}, {plural(row.count, 'hello')}{times}",
        lead=row.peer_ip,
        lead_style=ADDRESS,
    )
    command = f"mailtlsctl allow-legacy {row.peer_ip} --level {row.level}" if row.level is not None else ""
    yield from hello_lines(row, view, command)
    yield "\n"
