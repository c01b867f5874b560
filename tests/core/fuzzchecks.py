"""What must hold of strangers' bytes, whatever they are: checks for the fuzzers of `benchmarks/` and for a short test.

A check takes bytes and gives what is wrong, or None; an exception is wrong, too. `SEEDS` gives bytes of the kind that
a check is about, to begin with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address
from itertools import pairwise
from random import Random

from mailtls.core.capture import CaptureReader
from mailtls.core.clienthello import LONGEST, read_hello
from mailtls.core.delegation import LONGEST_REQUEST, PolicyReader
from mailtls.core.doorchoice import choose, doors_of
from mailtls.core.factsparcel import FactsParcel, Misshapen, pack_facts, unpack_facts
from mailtls.core.fingerprint import fingerprint
from mailtls.core.gatewaydialogue import (
    HARMLESS,
    HIDDEN,
    LONGEST_LINE,
    READY,
    Action,
    GatewayDialogue,
    ToClient,
    ToPostfix,
    Turn,
)
from mailtls.core.hellofinder import HelloFinder
from mailtls.core.helloframe import read_frame
from mailtls.core.hellorecord import Kind, Sighting, Tally, read_record, write_record
from mailtls.core.octets import extension, numbers, sized
from mailtls.core.postfixview import Offering, PostfixSettings
from mailtls.core.segment import LINKS, read_segment
from mailtls.core.serverhello import FlightReader
from mailtls.core.smtpfacts import SmtpFacts
from mailtls.core.suite import KeyType
from mailtls.edge.randomhello import random_hello
from mailtls.errors import InputError

from .captures import ACK, SYN, ip, linked, pcap, pcapng, tcp

Check = Callable[[bytes], str | None]

JA4 = re.compile(r"t(00|s2|s3|10|11|12|13)[di]\d{4}[0-9A-Za-z]{2}_[0-9a-f]{12}_[0-9a-f]{12}")
STRICT = Offering(
    versions=("TLSv1.2", "TLSv1.3"), certificates=(KeyType.ECDSA,), ciphers=("ECDHE-ECDSA-AES128-GCM-SHA256",)
)
DOORS = doors_of(PostfixSettings(strict=STRICT)) or {}
CHUNK = 16 * 1024
"""Bytes that the gateway reads at once."""


def check_hello(data: bytes) -> str | None:
    """Read, name, judge: a JA4 of its form, a door or advice but not both, and words for every refusal."""
    hello = read_hello(data)
    if hello is None:
        return None
    if max(len(hello.ciphers), len(hello.extensions)) > LONGEST // 2:
        return "more than the bytes hold"
    if JA4.fullmatch(fingerprint(hello)) is None:
        return f"JA4 is {fingerprint(hello)}"
    choice = choose(hello, DOORS)
    if (choice.narrowest is None) != bool(choice.changes):
        return f"narrowest {choice.narrowest}, advice {choice.changes}"
    words = [str(answer) for answer in choice.tried.values()]
    return next((f"a prediction without words: {word}" for word in words if word.startswith("reason 0x")), None)


def check_capture(data: bytes) -> str | None:
    """Read all hellos of a capture: one sentence where it is none, and names as above."""
    reader, finder = CaptureReader(), HelloFinder()
    found = []
    try:
        for frame in reader.feed(data):
            segment = read_segment(frame)
            found += finder.feed(segment) if segment is not None else []
        reader.close()
    except InputError as error:
        return "an error of several lines" if "\n" in str(error) else None
    found += finder.close()
    return next((f"JA4 is {name}" for one in found if not JA4.fullmatch(name := fingerprint(one.hello))), None)


def check_record(data: bytes) -> str | None:
    """Read a datagram of the observer: what is read is written, and read again, as it was."""
    record = read_record(data)
    if record is None:
        return None
    if read_record(write_record(record)) != record:
        return f"{record} does not survive being written"
    return None if isinstance(record, Tally) else _wrong_with(record)


def check_frame(data: bytes) -> str | None:
    """Read a packet as the observer gets it: a record of it can be written, and says the same."""
    sighting = read_frame(data, 1_700_000_000.25)
    if sighting is None:
        return None
    if read_record(write_record(sighting)) != sighting:
        return f"{sighting} does not survive being written"
    return _wrong_with(sighting)


def _wrong_with(sighting: Sighting) -> str | None:
    for each in (sighting.peer, sighting.server):
        if str(ip_address(each)) != each:
            return f"{each} is no address as it is spelled"
    if sighting.kind is Kind.HELLO and sighting.alert is not None:
        return "a hello with an alert"
    return check_hello(sighting.data)


def check_answer(data: bytes) -> str | None:
    """Read a server's answer whole and in pieces: the same but for the words, which are printable."""
    whole, pieces = FlightReader(), FlightReader()
    whole.feed(data)
    size = 1 + len(data) % 13
    for at in range(0, len(data), size):
        pieces.feed(data[at : at + size])
    found, again = whole.close(), pieces.close()
    if (replace(found, fault=""), bool(found.fault)) != (replace(again, fault=""), bool(again.fault)):
        return f"{found} at once, {again} in pieces of {size}"
    if not found.fault.isprintable() or "\n" in found.fault:
        return f"the fault is {found.fault!r}"
    if found.accepted and found.refused:
        return "accepted and refused"
    return None


def check_policy(data: bytes) -> str | None:
    """Read questions of Postfix whole and in pieces: the same, as many as there are ends, and of a bounded rest."""
    whole, pieces = PolicyReader(), PolicyReader()
    found = whole.feed(data)
    size = 1 + len(data) % 11
    again = [one for at in range(0, len(data), size) for one in pieces.feed(data[at : at + size])]
    if found != again:
        return f"{found} at once, {again} in pieces of {size}"
    return "more is kept than may be" if whole.pending > LONGEST_REQUEST else None


def check_facts(data: bytes) -> str | None:
    """Read a datagram of the milter: what is read is written, and read again, as it was."""
    parcel = unpack_facts(data)
    if isinstance(parcel, Misshapen):
        return None
    again = unpack_facts(pack_facts(parcel))
    return None if again == parcel else f"{parcel} becomes {again}"


# --- the gateway before TLS ----------------------------------------------------------------------------------------


def check_gateway(data: bytes) -> str | None:
    """Play client and Postfix: the first bit says whether TLS is demanded, then who says how many bytes, and the bytes.

    The client is heard only when it is its turn, as in the gateway.
    """
    if not data:
        return None
    demand_tls = bool(data[0] & 1)
    dialogue, over = GatewayDialogue(demand_tls), False
    asked = b""
    for of_client, words in _script(data[1:]):
        if of_client and not dialogue.wants_client:
            continue
        actions = dialogue.from_client(words) if of_client else dialogue.from_postfix(words)
        wrong = f"{actions} after the turn" if actions and over else _wrong_steps(actions, asked, demand_tls)
        if wrong is not None:
            return wrong
        asked = next((action.data for action in actions if isinstance(action, ToPostfix)), asked)
        over = over or any(isinstance(action, Turn) for action in actions)
    return None


def _wrong_steps(actions: tuple[Action, ...], asked: bytes, demand_tls: bool) -> str | None:
    if any(isinstance(action, Turn) for action in actions[:-1]):
        return f"{actions}: something follows the turn"
    if sum(isinstance(action, ToPostfix) for action in actions) > 1:
        return "two commands at once"
    found = (_wrong_step(action, following, asked, demand_tls) for action, following in pairwise((*actions, None)))
    return next((wrong for wrong in found if wrong is not None), None)


def _script(data: bytes) -> Iterator[tuple[bool, bytes]]:
    """Take apart: one byte for the side and how often the bytes are said, one for how many there are, the bytes."""
    place = 0
    while place + 2 <= len(data):
        size = data[place + 1]
        yield bool(data[place] & 1), (data[place + 2 : place + 2 + size] * (1 + (data[place] >> 1)))[:CHUNK]
        place += 2 + size


def _wrong_step(action: Action | None, following: Action | None, asked: bytes, demand_tls: bool) -> str | None:
    match action:
        case ToPostfix(words) if following is not Turn.PLAIN:
            verb = words.split(None, 1)[:1]
            if words.count(b"\n") != 1 or len(words) > LONGEST_LINE + 1 or (verb and verb[0].upper() not in HARMLESS):
                return f"Postfix is told {words[:80]!r}"
        case Turn.PLAIN if demand_tls:
            return "mail in clear, where TLS is demanded"
        case ToClient(words) if following is Turn.START_TLS and words != READY:
            return f"TLS begins behind {words!r}"
        case ToClient(words) if asked[:4].upper() == b"EHLO" and words.startswith(b"250") and b"STARTTLS" in words:
            offered = [line[4:].replace(b"=", b" ").split(None, 1)[:1] for line in words.splitlines()[1:]]
            hidden = [word[0] for word in offered if word and word[0].upper() in HIDDEN - {b"STARTTLS"}]
            return f"{hidden} offered before TLS" if hidden else None
        case _:
            return None
    return None


# --- to begin with -------------------------------------------------------------------------------------------------


def capture(chance: Random) -> bytes:
    """Write a capture of a few connections, on any kind of link, in pieces of any size."""
    link, frames = chance.choice(sorted(LINKS)), []
    for peer in range(chance.randrange(1, 4)):
        stream = b"EHLO client.test\r\nSTARTTLS\r\n" + random_hello(chance)
        size = chance.choice((1460, 100, 17))
        pieces = [(999, b"", SYN), *((1000 + at, stream[at : at + size], ACK) for at in range(0, len(stream), size))]
        frames += [linked(link, _packet(chance, peer, at, data, flags)) for at, data, flags in pieces]
    return chance.choice((pcap, pcapng))(frames, link, chance.choice("<>"))


def _packet(chance: Random, peer: int, at: int, data: bytes, flags: int) -> bytes:
    source = chance.choice((f"192.0.2.{peer}", f"2001:db8::{peer}"))
    target = "2001:db8:1::1" if ":" in source else "198.51.100.1"
    return ip(source, target, tcp(40000, 25, at, data, flags))


def frame(chance: Random) -> bytes:
    """Write a packet with a hello or an alert in it."""
    data = chance.choice((random_hello(chance), b"\x15\x03\x01\0\x02\x02\x28"))
    return _packet(chance, 7, 1000, data, ACK)


def record(chance: Random) -> bytes:
    """Write a datagram of the observer."""
    if chance.random() < 0.1:
        return write_record(Tally(*(chance.randrange(1 << 40) for _ in range(4))))
    kind, data = chance.choice(((Kind.HELLO, random_hello(chance)), (Kind.ALERT, b"\x15\x03\x01\0\x02\x02\x28")))
    peer = chance.choice(("192.0.2.7", "2001:db8::7"))
    return write_record(Sighting(kind, chance.random() * 2e9, peer, chance.randrange(1 << 16), peer, 25, data))


WORDS = (
    (1, b"EHLO peer.test\r\n"), (1, b"STARTTLS\r\n"), (1, b"STARTTLS\r\nMAIL FROM:<>\r\n"), (1, b"MAIL FROM:<a@b>\r\n"),
    (1, b"NOOP\r\n"), (1, b"QUIT\r\n"), (1, b"AUTH PLAIN x\r\n"), (1, b"\r\n"), (1, b"starttls x\r\n"), (61, b"x" * 200),
    (0, b"220 mx ESMTP\r\n"), (0, b"250-mx\r\n250-AUTH LOGIN\r\n250-AUTH=LOGIN\r\n250-PIPELINING\r\n250 CHUNKING\r\n"),
    (0, b"250 2.0.0 Ok\r\n"), (0, b"421 4.3.2 busy\r\n"), (0, b"554 no\r\n"), (0, b""), (0, b"250-"), (61, b"250-x\r\n"),
)  # fmt: skip


def conversation(chance: Random) -> bytes:
    """Write a conversation for `check_gateway`: often in turns, as real ones are."""
    said = [(0, b"220 mx ESMTP\r\n"), (1, b"EHLO peer.test\r\n"), WORDS[11]] if chance.random() < 0.7 else []
    said += chance.choices(WORDS, k=chance.randrange(8))
    return bytes([chance.randrange(2)]) + b"".join(bytes((how, len(words))) + words for how, words in said)


SUITES = (0x002F, 0xC02F, 0x1301)


def answer(chance: Random) -> bytes:
    """Write a server's flight, with a chain of nonsense, or an alert."""
    if chance.random() < 0.2:
        return b"\x15\x03\x01" + sized(bytes((2, chance.randrange(120))), 2)
    version = chance.choice((0x0300, 0x0301, 0x0303))
    body = numbers((version,)) + chance.randbytes(32) + sized(b"", 1) + numbers((chance.choice(SUITES),)) + b"\0"
    more = [extension(number, chance.randbytes(2)) for number in (43, 51, 65281, 35) if chance.random() < 0.4]
    body += sized(b"".join(more), 2) if more else b""
    certificate = sized(chance.randbytes(60), 3)
    messages = [b"\2" + sized(body, 3), b"\x0b" + sized(sized(certificate * chance.randrange(1, 3), 3), 3)]
    messages += [b"\x0c" + sized(b"\3\0\x17" + sized(chance.randbytes(65), 1) + b"\4\3" + sized(b"s" * 70, 2), 3)]
    messages += [b"\x0e" + sized(b"", 3)]
    return b"".join(b"\x16" + numbers((version,)) + sized(message, 2) for message in messages)


FACTS = SmtpFacts(
    client_address="192.0.2.7", sender="a@peer.test", recipient="b@example.test", size=1000, encryption_keysize=256,
    encryption_protocol="TLSv1.2", encryption_cipher="AES256-SHA",
)  # fmt: skip


def question(chance: Random) -> bytes:
    """Write a question of Postfix."""
    told = [f"{name}={getattr(FACTS, name)}" for name in ("client_address", "sender", "recipient", "size")]
    lines = ["request=smtpd_access_policy", "protocol_state=DATA", *chance.sample(told, chance.randint(1, len(told)))]
    return ("\n".join(lines) + "\n\n").encode() * chance.randint(1, 3)


def facts(chance: Random) -> bytes:
    """Write a datagram of the milter."""
    return pack_facts(FactsParcel(replace(FACTS, size=chance.randrange(1 << 30)), lost=chance.randrange(5)))


CHECKS: dict[str, Check] = {
    "hello": check_hello,
    "gateway": check_gateway,
    "record": check_record,
    "frame": check_frame,
    "capture": check_capture,
    "answer": check_answer,
    "policy": check_policy,
    "facts": check_facts,
}
SEEDS: dict[str, Callable[[Random], bytes]] = {
    "hello": random_hello,
    "gateway": conversation,
    "record": record,
    "frame": frame,
    "capture": capture,
    "answer": answer,
    "policy": question,
    "facts": facts,
}


def mutated(data: bytes, chance: Random) -> bytes:
    """Change up to four places: a byte, a cut, a piece twice, a number of two bytes that is far off."""
    for _ in range(chance.randrange(5)):
        place, other = chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)
        start, end = min(place, other), max(place, other)
        data = chance.choice(
            (
                data[:place] + bytes([chance.randrange(256)]) + data[place + 1 :],
                data[:start] + data[end:] if chance.random() < 0.3 else data[:end],
                data[:end] + data[start:end][:200] + data[end:],
                data[:place] + chance.choice((b"\0\0", b"\xff\xff", b"\0\1")) + data[place + 2 :],
            )
        )
    return data
