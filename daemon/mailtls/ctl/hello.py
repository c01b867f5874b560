"""`mailtlsctl hello FILE.pcap`: what clients offered in captured packets, and which doors would take them.

Pure but for reading: no daemon, no root. The doors are those that setup found; where it has not looked, those of
Debian's Postfix as it comes. What is equal of one peer (by JA4) is told once, with a count.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from mailtls.config import read_config
from mailtls.core.ciphersuite import SIGNALS, is_grease
from mailtls.core.ciphersuite import name_of as suite_name
from mailtls.core.doorchoice import STOCK, Doors, Way, choose, doors_of
from mailtls.core.fingerprint import fingerprint
from mailtls.core.handshake import Negotiated, Prediction
from mailtls.core.hellofinder import PORTS, CapturedHello
from mailtls.core.tlsname import group_name, signature_name
from mailtls.core.tlsversion import name_of as version_name
from mailtls.ctl import output
from mailtls.ctl.hellojson import DoorRow, HelloRow, Hellos
from mailtls.ctl.screen import ADDRESS, BAD, GOOD, HEADING, Screen, plural, span
from mailtls.edge.capturefile import CaptureFile

MOST = 50_000  # different hellos that are told
_FINE = 20  # of those that the strict door takes, so many are told in text; --json has all
_LONGEST_OFFER = 12  # suites that are named in text; --json has all

_WORDS = {Way.STRICT: "strict", Way.RSA_BESIDE: "strict with an RSA certificate beside"}


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
    rows = tuple(_row(key[1], one, known or STOCK) for key, one in seen.items())
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
    left_out = 0
    for one in capture.hellos():
        key = (one.peer, fingerprint(one.hello))
        if key not in seen and len(seen) >= MOST:
            left_out += 1
            continue
        row = seen.setdefault(key, _Seen(one, first=one.at))
        row.count += 1
        row.last = one.at
    return seen, left_out


def _row(ja4: str, seen: _Seen, doors: Doors) -> HelloRow:
    found, offer = seen.hello, seen.hello.hello
    choice = choose(offer, doors)
    return HelloRow(
        peer_ip=found.peer,
        server_ip=found.server,
        server_port=found.server_port,
        starttls=found.starttls,
        count=seen.count,
        first_seen=_time(seen.first),
        last_seen=_time(seen.last),
        ja4=ja4,
        truncated=offer.truncated,
        sslv2_format=offer.sslv2_format,
        highest_version=version_name(offer.highest),
        versions=None if offer.versions is None else tuple(map(version_name, _sensible(offer.versions))),
        ciphers=tuple(suite_name(number) for number in _sensible(offer.ciphers) if number not in SIGNALS),
        groups=None if offer.groups is None else tuple(map(group_name, _sensible(offer.groups))),
        signature_algorithms=None
        if offer.signatures is None
        else tuple(map(signature_name, _sensible(offer.signatures))),
        point_formats=offer.point_formats,
        server_name=offer.server_name,
        alpn=tuple(name.decode("utf-8", "backslashreplace") for name in offer.protocols),
        extended_master_secret=offer.extended_master_secret,
        session_ticket=offer.session_ticket,
        doors=tuple(_door(way, answer) for way, answer in choice.tried.items()),
        narrowest=choice.narrowest,
        level=choice.level,
        changes=choice.changes,
    )


def _door(way: Way, answer: Prediction) -> DoorRow:
    if isinstance(answer, Negotiated):
        version, cipher = version_name(answer.version), answer.cipher.name
        return DoorRow(door=way, accepts=True, tls_version=version, cipher=cipher)
    return DoorRow(door=way, accepts=False, reason=str(answer), reason_number=answer.reason)


def _sensible(numbers: Collection[int]) -> list[int]:
    return [number for number in numbers if not is_grease(number)]


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
    for line in _offer(row):
        yield view.prose(line, indent=2)
    for door in row.doors:
        word = _WORDS.get(Way(door.door), door.door)
        said = f"{door.tls_version} with {door.cipher}" if door.accepts else f"no: {door.reason}"
        yield view.prose(f"{word}: {said}", GOOD if door.accepts else "", indent=2)
    yield view.prose(_advice(row), "" if row.narrowest == Way.STRICT else HEADING, indent=2)
    if row.level is not None:
        yield view.prose(f"mailtlsctl allow-legacy {row.peer_ip} --level {row.level}", HEADING, indent=4)
    yield "\n"


def _offer(row: HelloRow) -> Iterator[str]:
    shape = " in the format of SSLv2" if row.sslv2_format else ""
    versions = ", ".join(row.versions) if row.versions else f"up to {row.highest_version}"
    cut = "; the capture has only its beginning" if row.truncated else ""
    yield f"offers {versions}{shape}{cut}"
    named = ", ".join(row.ciphers[:_LONGEST_OFFER])
    more = f" and {len(row.ciphers) - _LONGEST_OFFER} more" if len(row.ciphers) > _LONGEST_OFFER else ""
    yield f"ciphers {named}{more}" if row.ciphers else "no ciphers"
    if row.groups is not None:
        yield f"groups {', '.join(row.groups)}"
    if row.signature_algorithms is not None:
        yield f"signatures {', '.join(row.signature_algorithms)}"
    if row.server_name is not None:
        yield f"asks for {row.server_name}"
    yield f"JA4 {row.ja4}"


def _advice(row: HelloRow) -> str:
    if row.changes:
        return f"No door takes it: the peer {'; '.join(row.changes)}."
    if row.narrowest == Way.STRICT:
        return "The strict door takes it."
    if row.narrowest == Way.RSA_BESIDE:
        return "An RSA certificate beside the ECDSA one lets it in, and weakens nothing. Until then:"
    return f"The narrowest door that takes it is {row.narrowest}:"
