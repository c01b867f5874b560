"""The first message of a TLS client, read from its bytes: what it offers.

Records (RFC 5246 section 6.2.1) with a ClientHello (RFC 8446 section 4.1.2, RFC 6101 for SSLv3), in as many fragments
as it likes, or a hello in the format of SSLv2 (RFC 6101 appendix E). Plain SMTP before it is the caller's business.

Promises: any bytes give a hello or None, never an error; at most `LONGEST` bytes are looked at. What is cut off is
read as far as it goes (`truncated`). What no TLS library would take is read, too, and said in `flaw`, `uneven` and
`broken`, for `handshake.predict` to fail as OpenSSL does (ssl/statem/statem_srvr.c tls_process_client_hello).

SECURITY: every byte is a stranger's. Names (`server_name`, `protocols`) are to be made printable by whoever prints.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

LONGEST = 1 << 16  # bytes; the largest hellos, with keys of post-quantum groups, have a few thousand

# OpenSSL's reasons (include/openssl/sslerr.h).
LENGTH_MISMATCH = 0x09F
RECORD_LENGTH_MISMATCH = 0x0D5
BAD_EXTENSION = 0x06E

_HANDSHAKE, _CLIENT_HELLO = 0x16, 1
_LONGEST_SESSION = 32

# Extensions (IANA, "TLS ExtensionType Values").
SERVER_NAME, SUPPORTED_GROUPS, POINT_FORMATS, SIGNATURES = 0, 10, 11, 13
ALPN, EXTENDED_MASTER_SECRET, SESSION_TICKET, PRE_SHARED_KEY = 16, 23, 35, 41
SUPPORTED_VERSIONS, CERTIFICATE_SIGNATURES, KEY_SHARE = 43, 50, 51
_PADDING = 21  # RFC 7685
# Those that OpenSSL knows (statem/extensions.c ext_defs): twice the same of these is an error.
_KNOWN = frozenset({0, 1, 5, *range(10, 15), 16, 18, 21, 22, 23, 35, *range(41, 46), 47, 49, 50, 51, 13172, 65281})


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a client offers.

    `version`: its highest, or TLS 1.2 where `versions`, the extension of TLS 1.3, says more. Numbers are IANA's; None
    where the extension is missing, which is not the same as empty. `sslv2_kinds`: three-byte numbers that only SSL 2.0
    has. `flaw`: OpenSSL's reason number where the message makes no sense as a whole; `uneven`: its list of suites does
    not divide; `broken`: extensions whose content makes no sense.
    """

    version: int
    ciphers: tuple[int, ...] = ()
    compressions: tuple[int, ...] = (0,)
    extensions: tuple[int, ...] = ()
    versions: tuple[int, ...] | None = None
    groups: tuple[int, ...] | None = None
    key_shares: tuple[int, ...] | None = None
    signatures: tuple[int, ...] | None = None
    certificate_signatures: tuple[int, ...] | None = None
    point_formats: tuple[int, ...] | None = None
    server_name: str | None = None
    protocols: tuple[bytes, ...] = ()
    sslv2_format: bool = False
    sslv2_kinds: tuple[int, ...] = ()
    truncated: bool = False
    flaw: int | None = None
    uneven: bool = False
    broken: frozenset[int] = frozenset()

    @property
    def highest(self) -> int:
        """Give the highest version it offers, of those that a standard has given a number up to TLS 1.3."""
        known = [version for version in self.versions or () if 0x0300 <= version <= 0x0304]
        return max(known) if known else min(self.version, 0x0303)

    @property
    def tells_all(self) -> bool:
        """Tell whether it has all that an answer depends on: of one cut off, its keys must have come last."""
        return not self.truncated or self.extensions[-1:] in ((KEY_SHARE,), (_PADDING,))

    @property
    def size(self) -> int:
        """Count the numbers that it holds: what it costs to keep it. Real ones have a hundred, strangers' thousands."""
        return sum(len(value) for name in self.__slots__ if isinstance(value := getattr(self, name), tuple))

    @property
    def extended_master_secret(self) -> bool:
        """Tell whether it offers RFC 7627."""
        return EXTENDED_MASTER_SECRET in self.extensions

    @property
    def session_ticket(self) -> bool:
        """Tell whether it takes session tickets (RFC 5077)."""
        return SESSION_TICKET in self.extensions


def read_hello(data: bytes) -> ClientHello | None:
    """Read the first bytes of TLS; None where they do not begin a ClientHello."""
    data = data[:LONGEST]
    if len(data) >= 5 and data[0] & 0x80 and data[2] == _CLIENT_HELLO:
        return _read_sslv2(data)
    if len(data) < 3 or data[0] != _HANDSHAKE or data[1] != 3:
        return None
    message = _handshake(data)
    if len(message) < 6 or message[0] != _CLIENT_HELLO:
        return None
    length = int.from_bytes(message[1:4], "big")
    if length < 2:
        return None
    body = message[4 : 4 + length]
    return _read_body(body, truncated=len(body) < length)


def _handshake(data: bytes) -> bytes:
    """Put the fragments of the first handshake message together, as far as they are there."""
    pieces: list[bytes] = []
    place, have, wanted = 0, 0, 4
    while have < wanted and place + 5 <= len(data) and data[place] == _HANDSHAKE and data[place + 1] == 3:
        size = int.from_bytes(data[place + 3 : place + 5], "big")
        pieces.append(data[place + 5 : place + 5 + size])
        have += len(pieces[-1])
        place += 5 + size
        if wanted == 4 and have >= 4:
            wanted += int.from_bytes(b"".join(pieces)[1:4], "big")
    return b"".join(pieces)


class _Cut(Exception):  # noqa: N818  it never leaves this file
    """Less is there than a length says."""


class _Bytes:
    """What is left of a message; every take beyond its end is a cut, after which the rest is gone."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    @property
    def left(self) -> int:
        return len(self.data) - self.place

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise _Cut
        self.place += size
        return self.data[self.place - size : self.place]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def sized(self, octets: int) -> bytes:
        """Take what has its length, of so many octets, in front."""
        return self.take(self.number(octets))


def _read_sslv2(data: bytes) -> ClientHello:
    """Read the format of SSLv2: suites have three bytes, those that begin with zero are of SSLv3 and later."""
    length = (data[0] & 0x7F) << 8 | data[1]
    body = data[2 : 2 + length]
    truncated = len(body) < length
    version = int.from_bytes(body[1:3], "big") if len(body) >= 3 else int.from_bytes(data[3:5], "big")
    reader, flaw, specs, expected = _Bytes(body[3:]), None, b"", 0
    try:
        expected, session, challenge = (reader.number(2) for _ in range(3))
        specs = reader.take(min(expected, reader.left))
        wrong = session > _LONGEST_SESSION or reader.left != session + challenge or len(specs) < expected
    except _Cut:
        wrong = True
    if wrong and not truncated:
        flaw = RECORD_LENGTH_MISMATCH
    kinds = [int.from_bytes(specs[at : at + 3], "big") for at in range(0, len(specs) - 2, 3)]
    return ClientHello(
        version,
        ciphers=tuple(kind for kind in kinds if kind < 0x10000),
        sslv2_format=True,
        sslv2_kinds=tuple(kind for kind in kinds if kind >= 0x10000),
        truncated=truncated,
        flaw=flaw,
        uneven=len(specs) == expected and expected % 3 != 0,
    )


def _read_body(body: bytes, truncated: bool) -> ClientHello:
    reader = _Bytes(body)
    fields: dict[str, object] = {"truncated": truncated}
    version = reader.number(2)
    try:
        _read_fields(reader, fields, truncated)
    except _Cut:
        fields.setdefault("flaw", None if truncated else LENGTH_MISMATCH)
    return ClientHello(version, **fields)  # type: ignore[arg-type]  # the names and types are those of the readers below


def _read_fields(reader: _Bytes, fields: dict[str, object], truncated: bool) -> None:
    reader.take(32)
    if len(reader.sized(1)) > _LONGEST_SESSION:
        fields["flaw"] = LENGTH_MISMATCH
    size = reader.number(2)
    suites = reader.take(min(size, reader.left) if truncated else size)
    fields["ciphers"] = _numbers(suites)
    fields["uneven"] = bool(size & 1)
    fields["compressions"] = tuple(reader.sized(1))
    if not reader.left:
        return
    size = reader.number(2)
    if size != reader.left and not truncated:
        fields["flaw"] = LENGTH_MISMATCH
    _read_extensions(_Bytes(reader.take(min(size, reader.left))), fields, truncated)


def _read_extensions(reader: _Bytes, fields: dict[str, object], truncated: bool) -> None:
    """Read the list of extensions, the first of each kind."""
    seen: list[int] = []
    broken: set[int] = set()
    while reader.left:
        try:
            number, size = reader.number(2), reader.number(2)
            whole = size <= reader.left
            content = reader.take(min(size, reader.left))
        except _Cut:
            whole, number, content = False, -1, b""
        if not whole and not truncated:
            fields.setdefault("flaw", BAD_EXTENSION)
        if number < 0:
            break
        if number in seen and number in _KNOWN:
            fields.setdefault("flaw", BAD_EXTENSION)
        elif number in _READERS:
            _read_extension(number, content, fields, broken if whole else set())
        # A pre-shared key that is not last is an error (RFC 8446 section 4.2.11).
        if number == PRE_SHARED_KEY and reader.left:
            fields.setdefault("flaw", BAD_EXTENSION)
        seen.append(number)
    fields["extensions"] = tuple(seen)
    fields["broken"] = frozenset(broken)


def _read_extension(number: int, content: bytes, fields: dict[str, object], broken: set[int]) -> None:
    name, read = _READERS[number]
    try:
        value, whole = read(_Bytes(content))
    except _Cut:
        value, whole = None, False
    if not whole:
        broken.add(number)
    if name and value is not None:
        fields[name] = value


# --- contents of extensions: the value as far as it is there, and whether that was all -------------------------------

_Content = tuple[object, bool]


def _numbers(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{len(data) // 2}H", data[: len(data) & ~1])


def _read_groups(reader: _Bytes) -> _Content:
    size = reader.number(2)
    data = reader.take(min(size, reader.left))
    return _numbers(data), size == len(data) > 0 and not size & 1 and not reader.left


def _read_schemes(reader: _Bytes) -> _Content:
    """Read signature schemes; half a scheme is an error from TLS 1.2 on only, anything else wrong gives no value."""
    size = reader.number(2)
    data = reader.take(min(size, reader.left))
    if not size or reader.left:
        return None, False
    return _numbers(data), size == len(data) and not size & 1


def _read_versions(reader: _Bytes) -> _Content:
    """An empty list is well-formed here: OpenSSL then finds no version that it supports."""
    size = reader.number(1)
    data = reader.take(min(size, reader.left))
    return _numbers(data), size == len(data) and not size & 1 and not reader.left


def _read_point_formats(reader: _Bytes) -> _Content:
    formats = reader.sized(1)
    return tuple(formats), bool(formats) and not reader.left


def _read_server_name(reader: _Bytes) -> _Content:
    names = _Bytes(reader.sized(2))
    kind, name = names.number(1), names.sized(2)
    whole = kind == 0 and not names.left and not reader.left and len(name) <= 255 and b"\0" not in name
    return name[:255].decode("utf-8", "backslashreplace"), whole


def _read_protocols(reader: _Bytes) -> _Content:
    protocols = tuple(_each(_Bytes(reader.sized(2)), lambda items: items.sized(1)))
    return protocols, bool(protocols) and all(protocols) and not reader.left


def _read_key_shares(reader: _Bytes) -> _Content:
    size = reader.number(2)
    shares = _Bytes(reader.take(min(size, reader.left)))
    groups: list[int] = []
    whole = size == len(shares.data) and not reader.left
    while shares.left:
        try:
            groups.append(shares.number(2))
            whole = bool(shares.sized(2)) and whole
        except _Cut:
            return tuple(groups), False
    return tuple(groups), whole


def _read_nothing(reader: _Bytes) -> _Content:
    return None, not reader.left


def _each(reader: _Bytes, take: Callable[[_Bytes], bytes]) -> Iterator[bytes]:
    while reader.left:
        yield take(reader)


_READERS: dict[int, tuple[str, Callable[[_Bytes], _Content]]] = {
    SERVER_NAME: ("server_name", _read_server_name),
    SUPPORTED_GROUPS: ("groups", _read_groups),
    POINT_FORMATS: ("point_formats", _read_point_formats),
    SIGNATURES: ("signatures", _read_schemes),
    ALPN: ("protocols", _read_protocols),
    EXTENDED_MASTER_SECRET: ("", _read_nothing),
    SUPPORTED_VERSIONS: ("versions", _read_versions),
    CERTIFICATE_SIGNATURES: ("certificate_signatures", _read_schemes),
    KEY_SHARE: ("key_shares", _read_key_shares),
}
