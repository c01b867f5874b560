"""What a server says to a hello, read from its bytes as they come, up to where it waits for the client.

Records (RFC 5246 section 6.2.1) with ServerHello, HelloRetryRequest (RFC 8446 section 4.1), Certificate,
ServerKeyExchange (RFC 5246 section 7.4.3, RFC 8422 section 5.4), ServerHelloDone or an alert; or a SERVER-HELLO of
SSLv2. Of TLS 1.3 all behind the ServerHello is encrypted: there the reading ends.

Promises: any bytes, in any pieces, give an answer and never an error; at most `LONGEST` bytes are kept. What makes no
sense is a clause in `fault`, and what was read before it stands.

SECURITY: every byte is a stranger's. Texts in `fault` are printable; certificates are bytes that nobody has looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mailtls.core.ciphersuite import BY_NUMBER, Authentication, KeyExchange
from mailtls.core.clienthello import KEY_SHARE, SUPPORTED_VERSIONS
from mailtls.core.printable import printable
from mailtls.core.serveralert import UNRECOGNIZED_NAME
from mailtls.core.tlsversion import SSLV2, TLS12, TLS13

LONGEST = 1 << 18
"""Bytes of one answer; long chains have some ten thousand."""

_CHANGE, _ALERT, _HANDSHAKE, _DATA = 20, 21, 22, 23
_SERVER_HELLO, _TICKET, _CERTIFICATE, _KEY_EXCHANGE, _REQUEST, _DONE, _STATUS = 2, 4, 11, 12, 13, 14, 22
# SHA-256 of "HelloRetryRequest", in place of the random bytes (RFC 8446 section 4.1.3).
_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
_NAMED_CURVE = 3
_MOST_CERTIFICATES = 20


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """What a server said to one hello.

    `version`, `cipher`, `extensions`: of its ServerHello, IANA's numbers; None where there was none. `retry`: it asks
    for another key (TLS 1.3). `group`: of its key; `prime_bits`: of its Diffie-Hellman prime; `signature`: the scheme
    in TLS 1.2. `chain`: certificates, DER, its own first. `sslv2_kinds`: the suites that an SSLv2 server offers.
    `alert`: a number; `warning`: one that ended nothing. `whole`: it came to its end. `fault`: a clause about an answer
    that is none; `closed`: the connection ended without a word.
    """

    version: int | None = None
    cipher: int | None = None
    extensions: tuple[int, ...] = ()
    retry: bool = False
    group: int | None = None
    prime_bits: int | None = None
    signature: int | None = None
    chain: tuple[bytes, ...] = ()
    sslv2_kinds: tuple[int, ...] = ()
    asks_certificate: bool = False
    alert: int | None = None
    warning: int | None = None
    whole: bool = False
    closed: bool = False
    fault: str = ""

    @property
    def accepted(self) -> bool:
        """Tell whether the server went on with the handshake."""
        return self.version is not None

    @property
    def refused(self) -> bool:
        """Tell whether it said no, with an alert or by closing."""
        return not self.accepted and (self.alert is not None or self.closed)


class _Nonsense(Exception):  # noqa: N818  it never leaves this file
    """What was read cannot be an answer; the text is a clause."""


class FlightReader:
    """Takes bytes, gives a `ServerAnswer`; `over`: nothing more is to be expected, or wanted."""

    def __init__(self) -> None:
        self.answer = ServerAnswer()
        self.over = False
        self._records = bytearray()
        self._messages = bytearray()
        self._taken = 0

    def feed(self, data: bytes) -> None:
        """Take what came; anything behind the end is left alone."""
        if self.over:
            return
        self._taken += len(data)
        self._records += data
        try:
            self._read()
        except _Nonsense as nonsense:
            self._end(fault=str(nonsense))

    def close(self, why: str = "") -> ServerAnswer:
        """Give the answer as far as it came: the connection ended, or, with a clause `why`, patience did."""
        if not self.over:
            begun = bool(self._taken) and not self.answer.accepted
            fault = why or ("the connection was closed in the middle of the answer" if begun else "")
            self._end(fault=fault, closed=not fault)
        return self.answer

    def _end(self, *, fault: str = "", closed: bool = False, whole: bool = False) -> None:
        self.over = True
        self.answer = replace(self.answer, fault=fault, closed=closed, whole=whole)
        self._records.clear()
        self._messages.clear()

    def _read(self) -> None:
        if self._taken > LONGEST:
            raise _Nonsense(f"the answer is longer than {LONGEST // 1024} KiB")
        while not self.over and self._record():
            pass

    def _record(self) -> bool:
        """Take one record off, if it is there."""
        head = self._records[:5]
        if head and head[0] & 0x80:
            return self._sslv2()
        # OpenSSL's alert has the version of the hello that it refuses, whatever that is (ssl3_dispatch_alert).
        odd = len(head) > 1 and head[1] != 3 and head[0] != _ALERT
        if head and (head[0] not in (_CHANGE, _ALERT, _HANDSHAKE, _DATA) or odd):
            self._no_tls()
        if len(head) < 5:
            return False
        size = int.from_bytes(head[3:5], "big")
        if len(self._records) < 5 + size:
            return False
        body = bytes(self._records[5 : 5 + size])
        del self._records[: 5 + size]
        if head[0] == _HANDSHAKE:
            self._messages += body
            while not self.over and self._message():
                pass
        elif head[0] == _ALERT:
            self._alert(body)
        else:
            raise _Nonsense(f"a record of type {head[0]} came in place of a ServerHello")
        return True

    def _no_tls(self) -> None:
        data = bytes(self._records[:200])
        line = data.split(b"\n")[0].strip()
        if len(line) >= 3 and all(32 <= octet < 127 for octet in line):
            raise _Nonsense(f"the answer is no TLS: '{printable(line, longest=80)}'")
        raise _Nonsense(f"the answer is no TLS: bytes {data[:8].hex(' ')}")

    def _alert(self, body: bytes) -> None:
        if len(body) < 2:
            raise _Nonsense(f"an alert of {len(body)} bytes")
        if body[0] == 1 and body[1] == UNRECOGNIZED_NAME:
            if self.answer.warning is not None:
                raise _Nonsense("the same warning comes again and again")
            self.answer = replace(self.answer, warning=body[1])
            return
        self.answer = replace(self.answer, alert=body[1])
        self._end(whole=True)

    def _message(self) -> bool:
        """Take one handshake message off, if it is there."""
        if len(self._messages) < 4:
            return False
        kind, size = self._messages[0], int.from_bytes(self._messages[1:4], "big")
        if size > LONGEST:
            raise _Nonsense(f"a handshake message that claims {size:,} bytes")
        if len(self._messages) < 4 + size:
            return False
        body = bytes(self._messages[4 : 4 + size])
        del self._messages[: 4 + size]
        if not self.answer.accepted and kind != _SERVER_HELLO:
            raise _Nonsense(f"a handshake message of type {kind} came in place of a ServerHello")
        try:
            self._understand(kind, body)
        except IndexError:
            raise _Nonsense(f"a handshake message of type {kind} is cut off") from None
        return True

    def _understand(self, kind: int, body: bytes) -> None:
        if kind == _SERVER_HELLO:
            if self.answer.accepted:
                raise _Nonsense("a second ServerHello")
            self.answer = replace(_server_hello(body), warning=self.answer.warning)
            if self.answer.version == TLS13:
                self._end(whole=True)
        elif kind == _CERTIFICATE:
            self.answer = replace(self.answer, chain=_chain(body))
        elif kind == _KEY_EXCHANGE:
            self.answer = _key_exchange(self.answer, body)
        elif kind == _REQUEST:
            self.answer = replace(self.answer, asks_certificate=True)
        elif kind == _DONE:
            self._end(whole=True)
        elif kind not in (_STATUS, _TICKET):
            raise _Nonsense(f"a handshake message of type {kind} behind the ServerHello")

    def _sslv2(self) -> bool:
        """Take a message of SSLv2: a SERVER-HELLO (4) or an ERROR (0), with a length of two bytes."""
        if len(self._records) < 3:
            return False
        if self.answer.accepted or self._records[2] not in (0, 4):
            self._no_tls()
        size = (self._records[0] & 0x7F) << 8 | self._records[1]
        if len(self._records) < 2 + size:
            return False
        body = bytes(self._records[2 : 2 + size])
        if body[0] == 0:
            self._end(closed=True)
            return False
        if len(body) < 11:
            raise _Nonsense("an SSLv2 SERVER-HELLO that is cut off")
        lengths = [int.from_bytes(body[at : at + 2], "big") for at in (5, 7)]
        certificate, specs = body[11 : 11 + lengths[0]], body[11 + lengths[0] : 11 + sum(lengths)]
        kinds = tuple(int.from_bytes(specs[at : at + 3], "big") for at in range(0, len(specs) - 2, 3))
        self.answer = ServerAnswer(SSLV2, sslv2_kinds=kinds, chain=(certificate,) if certificate else ())
        self._end(whole=True)
        return False


# --- messages; what is cut off raises IndexError ----------------------------------------------------------------------


def _take(data: bytes, place: int, size: int) -> bytes:
    if place + size > len(data):
        raise IndexError
    return data[place : place + size]


def _number(data: bytes, place: int, size: int = 2) -> int:
    return int.from_bytes(_take(data, place, size), "big")


def _server_hello(body: bytes) -> ServerAnswer:
    version, place = _number(body, 0), 35 + _number(body, 34, 1)
    retry = body[2:34] == _RETRY
    cipher = _number(body, place)
    contents = _extensions(body, place + 3)
    if SUPPORTED_VERSIONS in contents:
        version = _number(contents[SUPPORTED_VERSIONS], 0)
    group = _number(contents[KEY_SHARE], 0) if KEY_SHARE in contents else None
    return ServerAnswer(version, cipher, tuple(contents), retry, group)


def _extensions(body: bytes, place: int) -> dict[int, bytes]:
    """Read the list of extensions, in its order; a server of old has none."""
    contents: dict[int, bytes] = {}
    if place >= len(body):
        return contents
    end = place + 2 + _number(body, place)
    place += 2
    while place < end:
        number, size = _number(body, place), _number(body, place + 2)
        contents[number] = _take(body, place + 4, size)
        place += 4 + size
    return contents


def _chain(body: bytes) -> tuple[bytes, ...]:
    found: list[bytes] = []
    place, end = 3, 3 + _number(body, 0, 3)
    while place < end and len(found) < _MOST_CERTIFICATES:
        size = _number(body, place, 3)
        found.append(_take(body, place + 3, size))
        place += 3 + size
    return tuple(found)


def _key_exchange(answer: ServerAnswer, body: bytes) -> ServerAnswer:
    """Read the server's key: its curve, or its prime; then, in TLS 1.2, how it is signed."""
    suite = BY_NUMBER.get(answer.cipher or 0)
    if suite is None:
        return answer
    if suite.key_exchange is KeyExchange.ECDHE:
        if _number(body, 0, 1) != _NAMED_CURVE:
            return answer
        answer = replace(answer, group=_number(body, 1))
        place = 4 + _number(body, 3, 1)
    elif suite.key_exchange is KeyExchange.DHE:
        size = _number(body, 0)
        answer = replace(answer, prime_bits=_number(body, 2, size).bit_length())
        place = 0
        for _ in range(3):  # prime, generator, public key
            place += 2 + _number(body, place)
    else:
        return answer
    if answer.version == TLS12 and suite.authentication is not Authentication.NONE:
        answer = replace(answer, signature=_number(body, place))
    return answer
