"""A whole TLS server in memory: what it takes, and its answers as bytes, for the tests of what asks servers.

It chooses as servers do (its own order, or the client's), answers in one flight, and refuses with alerts.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

from mailtls.core.ciphersuite import BY_NUMBER, Authentication, KeyExchange
from mailtls.core.clienthello import SESSION_TICKET, ClientHello
from mailtls.core.octets import extension, numbers, sized
from mailtls.core.probequestion import Ask, Shake, Shaken
from mailtls.core.serverhello import FlightReader, ServerAnswer
from mailtls.core.suite import KeyType
from mailtls.core.tlsversion import SSLV2, SSLV3, TLS12, TLS13

RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
RANDOM = bytes(32)
CERTIFICATES = {KeyType.RSA: b"rsa certificate", KeyType.ECDSA: b"ecdsa certificate"}
KINDS = {Authentication.RSA: KeyType.RSA, Authentication.ECDSA: KeyType.ECDSA}
SIGNS = {KeyType.RSA: 0x0804, KeyType.ECDSA: 0x0403}


def record(kind: int, body: bytes, version: int = TLS12) -> bytes:
    return bytes([kind]) + numbers([version]) + sized(body, 2)


def message(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + sized(body, 3)


def alert(number: int, level: int = 2) -> bytes:
    return record(21, bytes([level, number]))


def server_hello(version: int, cipher: int, extensions: bytes = b"", random: bytes = RANDOM) -> bytes:
    body = numbers([min(version, TLS12)]) + random + b"\0" + numbers([cipher]) + b"\0"
    return message(2, body + (sized(extensions, 2) if extensions else b""))


def certificate(*chain: bytes) -> bytes:
    return message(11, sized(b"".join(sized(each, 3) for each in chain), 3))


def curve_key(group: int, signature: int | None = 0x0401) -> bytes:
    signed = numbers([signature]) + sized(b"signed", 2) if signature is not None else b""
    return message(12, b"\x03" + numbers([group]) + sized(b"\x04point", 1) + signed)


def prime_key(bits: int, signature: int | None = 0x0401) -> bytes:
    prime = (1 << (bits - 1)).to_bytes((bits + 7) // 8, "big")
    signed = numbers([signature]) + sized(b"signed", 2) if signature is not None else b""
    return message(12, sized(prime, 2) + sized(b"\2", 2) + sized(b"\7", 2) + signed)


DONE = message(14, b"")


def sslv2_server_hello(kinds: tuple[int, ...]) -> bytes:
    specs = b"".join(kind.to_bytes(3, "big") for kind in kinds)
    shown = CERTIFICATES[KeyType.RSA]
    body = b"\x04\0\1" + numbers([SSLV2, len(shown), len(specs), 16]) + shown + specs + bytes(16)
    return (0x8000 | len(body)).to_bytes(2, "big") + body


@dataclass
class ServerWorld:
    """What the server takes.

    `mute`: versions to which it says nothing; `longest`: more suites than it stands; `broken`: suites that it chooses,
    and then breaks off; `rude`: it hangs up where others send an alert. `curve`: that of its ECDSA certificate, which a
    client must know. `wants_key`: it never asks for one in TLS 1.3. Its primes for suites without a certificate are small, as OpenSSL's are.
    """

    versions: dict[int, tuple[int, ...]]
    kinds: tuple[KeyType, ...] = (KeyType.ECDSA, KeyType.RSA)
    groups: tuple[int, ...] = (0x001D, 0x0017)
    own_order: bool = True
    prime_bits: int = 2048
    sslv2: tuple[int, ...] = ()
    by_name: dict[str, bytes] = field(default_factory=dict)
    refuses_names: bool = False
    mute: tuple[int, ...] = ()
    longest: int | None = None
    obeys: bool = False
    broken: tuple[int, ...] = ()
    rude: bool = False
    curve: int | None = None
    wants_key: bool = False
    asked: list[Ask | Shake] = field(default_factory=list)

    def answer(self, question: Ask | Shake) -> ServerAnswer | Shaken:
        self.asked.append(question)
        if isinstance(question, Shake):
            return Shaken("TLSv1.3", "X", CERTIFICATES[self.kinds[0]], True, self.obeys if question.injects else None)
        reader = FlightReader()
        if question.hello.highest in self.mute:
            return reader.close("no whole answer came within 5 s")
        reader.feed(self.flight(question.hello))
        return reader.close()

    def flight(self, hello: ClientHello) -> bytes:
        if hello.sslv2_kinds:
            return sslv2_server_hello(self.sslv2) if self.sslv2 else b""
        if self.longest is not None and len(hello.ciphers) > self.longest:
            return b""
        version = self.version_for(hello)
        if version is None:
            return b"" if self.rude else alert(70)
        if self.refuses_names and hello.server_name not in (None, *self.by_name):
            return alert(112)
        for suite in self.in_order(self.versions[version], hello.ciphers):
            if (flight := self.chosen(version, suite, hello)) is not None:
                return (b"" if self.rude else alert(80)) if suite in self.broken else flight
        return b"" if self.rude else alert(40)

    def version_for(self, hello: ClientHello) -> int | None:
        offered = [each for each in self.versions if each in (hello.versions or ())] if hello.versions else [
            each for each in self.versions if each <= min(hello.version, TLS12)
        ]  # fmt: skip
        return max(offered, default=None)

    def in_order(self, own: tuple[int, ...], offered: tuple[int, ...]) -> list[int]:
        first, second = (own, offered) if self.own_order else (offered, own)
        return [number for number in first if number in second]

    def chosen(self, version: int, number: int, hello: ClientHello) -> bytes | None:
        suite = BY_NUMBER[number]
        group = next(iter(self.in_order(self.groups, hello.groups or ())), None)
        if version == TLS13:
            return self.newest(number, group, hello)
        kind = KINDS.get(suite.authentication)
        if kind is not None and kind not in self.kinds:
            return None
        if suite.key_exchange is KeyExchange.ECDHE and group is None:
            return None
        if kind is KeyType.ECDSA and self.curve not in (None, *(hello.groups or ())):
            return None
        ticket = extension(SESSION_TICKET, b"") if SESSION_TICKET in hello.extensions else b""
        said = server_hello(version, number, ticket)
        if kind is not None:
            said += certificate(self.by_name.get(hello.server_name or "", CERTIFICATES[kind]))
        signature = 0x0401 if version == TLS12 and kind is not None else None
        if suite.key_exchange is KeyExchange.ECDHE and group is not None:
            said += curve_key(group, signature)
        if suite.key_exchange is KeyExchange.DHE:
            said += prime_key(self.prime_bits if kind is not None else 512, signature)
        return record(22, said + DONE, max(version, SSLV3))

    def newest(self, number: int, group: int | None, hello: ClientHello) -> bytes | None:
        if group is None or not {SIGNS[kind] for kind in self.kinds} & set(hello.signatures or ()):
            return None
        version = extension(43, numbers([TLS13]))
        if group in (hello.key_shares or ()):
            share = extension(51, numbers([group]) + sized(b"key", 2))
            return record(22, server_hello(TLS13, number, version + share)) + record(20, b"\1") + record(23, b"secret")
        if self.wants_key:
            return None
        return record(22, server_hello(TLS13, number, version + extension(51, numbers([group])), RETRY))


def follow(plan: Generator[Ask | Shake, ServerAnswer | Shaken, None], world: ServerWorld, most: int = 2000) -> int:
    """Follow a plan to its end; give the number of questions."""
    question = next(plan)
    for count in range(1, most):
        try:
            question = plan.send(world.answer(question))
        except StopIteration:
            return count
    raise AssertionError("the plan has no end")
