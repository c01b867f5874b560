"""NSS, the TLS library of Mozilla, as Debian ships it (libnss3): the one that still serves SSLv3, RC4 and 3DES.

No OpenSSL of Debian 12 or later does at any setting, GnuTLS neither. NSS is called through ctypes; no callback goes
from C to Python, so that it works where memory may not be writable and executable at once.

What a session may use is said for each: the lowest version and the suites. Export, DES, NULL and anonymous suites,
renegotiation, session tickets and the session cache are off for all. The 1/n-1 split of records against BEAST is NSS's
default. A hello in the format of SSLv2 is read, SSLv2 itself refused.

Sources: nss/lib/ssl/ssl.h and sslproto.h, nspr/pr/include/prio.h and prerror.h of NSS 3.87 and 3.110.

SECURITY: RSA key exchange is open to oracles by timing where NSS is older than 3.98 (CVE-2023-5388). So the key and
the certificate are the gateway's own, and never the site's.
"""

from __future__ import annotations

import ctypes
import socket
from collections.abc import Iterable
from ctypes import POINTER, byref, c_char_p, c_int, c_int32, c_uint, c_uint16, c_uint32, c_void_p
from dataclasses import dataclass
from typing import Any

from mailtls.core.tlsversion import SSLV3, TLS12, name_of, number_of
from mailtls.errors import ConfigError

PACKAGES = "libnss3"
_LIBRARIES = ("libnspr4.so", "libnss3.so", "libssl3.so")

# ssl.h
_SECURITY, _HANDSHAKE_AS_SERVER, _NO_CACHE = 1, 6, 9
_FULL_DUPLEX, _SESSION_TICKETS, _RENEGOTIATION, _V2_HELLO = 11, 18, 20, 38
_NEVER = 0  # SSL_RENEGOTIATE_NEVER
# keythi.h: rsaKey of KeyType
_RSA = 1
# secmodt.h: KU_ALL
_ANY_USE = 0xFF
# prerror.h, prio.h
_WOULD_BLOCK = -5998
_CHANNEL_INFO = 8  # bytes: length, version, suite; a larger structure is refused by older NSS

Handle = c_void_p


SUITES = {
    "AES256-SHA": (0x0035, 256),
    "AES128-SHA": (0x002F, 128),
    "DES-CBC3-SHA": (0x000A, 168),
    "RC4-SHA": (0x0005, 128),
    "RC4-MD5": (0x0004, 128),
}
"""What can be served, by OpenSSL's names: the suite's number and its bits. All with RSA key exchange."""

_NAMES = {number: name for name, (number, _) in SUITES.items()}


class TlsError(Exception):
    """The handshake or the connection failed. `word`: NSS's own word, such as SSL_ERROR_NO_CYPHER_OVERLAP."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


@dataclass(frozen=True, slots=True)
class Agreed:
    """What a handshake came to. `version`: Postfix's name; `cipher`: OpenSSL's name; `bits`: of its key."""

    version: str
    cipher: str
    bits: int


class _Item(ctypes.Structure):
    _fields_ = [("type", c_int), ("data", c_void_p), ("length", c_uint)]


class _Range(ctypes.Structure):
    _fields_ = [("lowest", c_uint16), ("highest", c_uint16)]


class _Channel(ctypes.Structure):
    _fields_ = [
        ("length", c_uint32), ("version", c_uint16), ("suite", c_uint16), ("rest", ctypes.c_uint8 * 248),
    ]  # fmt: skip


class Engine:
    """NSS with one RSA key and its certificate; makes a session of each connection.

    `key`: PKCS #8, `certificate`: X.509, both DER. One per process, as NSS itself.
    """

    def __init__(self, key: bytes, certificate: bytes) -> None:
        self._c = _Calls()
        self._c.start()
        self._key, self._certificate = self._c.identity(key, certificate)
        self._model = self._c.model(self._certificate, self._key)

    @property
    def version(self) -> str:
        """Say which NSS this is, such as 3.87.1."""
        return self._c.version()

    def session(self, connection: socket.socket, lowest: str, suites: Iterable[str]) -> Session:
        """Take a connection over, which must not be used otherwise any more. Raises TlsError.

        `lowest`: a version by Postfix's name; `suites`: names of SUITES.
        """
        connection.setblocking(False)
        number = connection.detach()
        handle = self._c.nspr.PR_ImportTCPSocket(number)
        self._c.set_nonblocking(handle)
        secured = self._c.ssl.SSL_ImportFD(self._model, handle)
        if not secured:
            self._c.nspr.PR_Close(handle)
            raise TlsError(self._c.word())
        session = Session(self._c, secured, number)
        try:
            self._c.narrow(secured, lowest, suites)
            self._c.check(self._c.ssl.SSL_ResetHandshake(secured, 1))
        except TlsError:
            session.close()
            raise
        return session


class Session:
    """One connection under TLS, never blocking: what would block raises BlockingIOError, to be tried again."""

    def __init__(self, calls: _Calls, handle: int, number: int) -> None:
        self._c = calls
        self._handle: int | None = handle
        self.number = number
        """The descriptor, to wait for."""

    def handshake(self) -> Agreed:
        """Go on with the handshake; give what was agreed once it is complete. Raises TlsError, BlockingIOError."""
        if self._c.ssl.SSL_ForceHandshake(self._open()) != 0:
            self._c.fail()
        channel = _Channel()
        self._c.check(self._c.ssl.SSL_GetChannelInfo(self._open(), byref(channel), _CHANNEL_INFO))
        name = _NAMES.get(channel.suite, f"0x{channel.suite:04X}")
        return Agreed(name_of(channel.version), name, SUITES[name][1] if name in SUITES else 0)

    def read(self, size: int) -> bytes:
        """Read at most so many bytes; none: the other side has ended. Raises TlsError, BlockingIOError."""
        room = ctypes.create_string_buffer(size)
        got = self._c.nspr.PR_Read(self._open(), room, size)
        if got < 0:
            self._c.fail()
        return room.raw[:got]

    def write(self, data: bytes) -> int:
        """Write what is taken now; give how many bytes. Raises TlsError, BlockingIOError."""
        taken: int = self._c.nspr.PR_Write(self._open(), data, len(data))
        if taken < 0:
            self._c.fail()
        return taken

    def close(self) -> None:
        """Say goodbye (close_notify), as far as that goes without waiting, and close."""
        if self._handle is not None:
            self._c.nspr.PR_Close(self._handle)
            self._handle = None

    def _open(self) -> int:
        if self._handle is None:
            raise TlsError("PR_BAD_DESCRIPTOR_ERROR")
        return self._handle


class _Calls:
    """The three libraries, with the types of what is called. Raises ConfigError where one is missing or cannot."""

    def __init__(self) -> None:
        try:
            self.nspr, self.nss, self.ssl = (ctypes.CDLL(name) for name in _LIBRARIES)
            self._declare()
        except OSError as error:
            raise ConfigError(
                f"the sslv3 door needs NSS, and {error}; install it: apt-get install {PACKAGES}"
            ) from error
        except AttributeError as error:
            raise ConfigError(f"this NSS cannot be used for the sslv3 door: {error}") from error

    def _declare(self) -> None:
        nspr, nss, ssl = self.nspr, self.nss, self.ssl
        table: tuple[tuple[Any, ...], ...] = (
            (nspr.PR_ImportTCPSocket, Handle, c_int32),
            (nspr.PR_SetSocketOption, c_int, Handle, c_void_p),
            (nspr.PR_Read, c_int32, Handle, c_void_p, c_int32),
            (nspr.PR_Write, c_int32, Handle, c_char_p, c_int32),
            (nspr.PR_Close, c_int, Handle),
            (nspr.PR_GetError, c_int32),
            (nspr.PR_ErrorToName, c_char_p, c_int32),
            (nss.NSS_GetVersion, c_char_p),
            (nss.NSS_NoDB_Init, c_int, c_char_p),
            (nss.CERT_GetDefaultCertDB, Handle),
            (nss.CERT_NewTempCertificate, Handle, Handle, POINTER(_Item), c_char_p, c_int, c_int),
            (nss.PK11_GetInternalSlot, Handle),
            (nss.PK11_ImportDERPrivateKeyInfoAndReturnKey, c_int, Handle, POINTER(_Item), c_void_p, c_void_p, c_int,
             c_int, c_uint, POINTER(Handle), c_void_p),
            (nss.SECKEY_GetPrivateKeyType, c_int, Handle),
            (ssl.NSS_SetDomesticPolicy, c_int),
            (ssl.SSL_ImportFD, Handle, Handle, Handle),
            (ssl.SSL_OptionSet, c_int, Handle, c_int32, c_int),
            (ssl.SSL_VersionRangeSet, c_int, Handle, POINTER(_Range)),
            (ssl.SSL_CipherPrefSet, c_int, Handle, c_int32, c_int),
            (ssl.SSL_GetImplementedCiphers, POINTER(c_uint16)),
            (ssl.SSL_GetNumImplementedCiphers, c_uint16),
            (ssl.SSL_ConfigServerCert, c_int, Handle, Handle, Handle, c_void_p, c_uint),
            (ssl.SSL_ResetHandshake, c_int, Handle, c_int),
            (ssl.SSL_ForceHandshake, c_int, Handle),
            (ssl.SSL_GetChannelInfo, c_int, Handle, POINTER(_Channel), c_uint),
        )  # fmt: skip
        for function, result, *arguments in table:
            function.restype, function.argtypes = result, arguments

    def start(self) -> None:
        """Start NSS without any database of keys. Raises ConfigError."""
        if self.nss.NSS_NoDB_Init(None) != 0 or self.ssl.NSS_SetDomesticPolicy() != 0:
            raise ConfigError(f"NSS {self.version()} does not start: {self.word()}")

    def identity(self, key: bytes, certificate: bytes) -> tuple[int, int]:
        """Take key and certificate in. Raises ConfigError."""
        database = self.nss.CERT_GetDefaultCertDB()
        taken = self.nss.CERT_NewTempCertificate(database, byref(_item(certificate)), None, 0, 1)
        if not taken:
            raise ConfigError(f"the certificate of the sslv3 door cannot be read: {self.word()}")
        handle, slot = Handle(), self.nss.PK11_GetInternalSlot()
        failed = self.nss.PK11_ImportDERPrivateKeyInfoAndReturnKey(
            slot, byref(_item(key)), None, None, 0, 0, _ANY_USE, byref(handle), None
        )
        if failed or handle.value is None:
            raise ConfigError(f"the key of the sslv3 door cannot be read: {self.word()}")
        if self.nss.SECKEY_GetPrivateKeyType(handle) != _RSA:
            raise ConfigError(
                "the key of the sslv3 door is no RSA key, and all its suites need one; mailtlsctl setup makes one"
            )
        return handle.value, taken

    def model(self, certificate: int, key: int) -> int:
        """Make the pattern of every session. Raises ConfigError."""
        model = self.unused()
        options = {
            _SECURITY: 1, _HANDSHAKE_AS_SERVER: 1, _NO_CACHE: 1, _FULL_DUPLEX: 1, _SESSION_TICKETS: 0,
            _RENEGOTIATION: _NEVER, _V2_HELLO: 1,
        }  # fmt: skip
        try:
            for option, value in options.items():
                self.check(self.ssl.SSL_OptionSet(model, option, value))
            implemented = self.ssl.SSL_GetImplementedCiphers()
            for number in implemented[: self.ssl.SSL_GetNumImplementedCiphers()]:
                self.check(self.ssl.SSL_CipherPrefSet(model, number, 0))
            self.check(self.ssl.SSL_ConfigServerCert(model, certificate, key, None, 0))
            self.check(self.ssl.SSL_VersionRangeSet(model, byref(_Range(SSLV3, TLS12))))
        except TlsError as error:
            raise ConfigError(f"NSS {self.version()} cannot serve the sslv3 door: {error.word}") from error
        return model

    def unused(self) -> int:
        """Give a session of a socket that is never connected; of a family that the gateway's unit may still make."""
        number = socket.socket(socket.AF_UNIX).detach()
        handle: int = self.ssl.SSL_ImportFD(None, self.nspr.PR_ImportTCPSocket(number))
        return handle

    def narrow(self, handle: int, lowest: str, suites: Iterable[str]) -> None:
        """Allow one session these versions and suites, and no others. Raises TlsError."""
        self.check(self.ssl.SSL_VersionRangeSet(handle, byref(_Range(number_of(lowest) or TLS12, TLS12))))
        for name in suites:
            self.check(self.ssl.SSL_CipherPrefSet(handle, SUITES[name][0], 1))

    def set_nonblocking(self, handle: int) -> None:
        """Tell NSPR that the descriptor does not block (PRSocketOptionData: option 0, then the value)."""
        option = (c_int32 * 16)(0, 0)
        option[_value_at()] = 1
        self.nspr.PR_SetSocketOption(handle, byref(option))

    def check(self, status: int) -> None:
        """Raise TlsError with NSS's word where a call failed."""
        if status != 0:
            raise TlsError(self.word())

    def fail(self) -> None:
        """Raise what the failure of a read, a write or a handshake is."""
        if self.nspr.PR_GetError() == _WOULD_BLOCK:
            raise BlockingIOError
        raise TlsError(self.word())

    def word(self) -> str:
        """Give NSS's word for the last error."""
        number = self.nspr.PR_GetError()
        name = self.nspr.PR_ErrorToName(number)
        return name.decode("ascii", "replace") if name else f"error {number}"

    def version(self) -> str:
        """Give NSS's version."""
        text: Any = self.nss.NSS_GetVersion()
        return bytes(text).decode("ascii", "replace")


def capability() -> str | None:
    """Say why the sslv3 door cannot be served with this system's NSS; None where it can.

    What it supports cannot be asked for: it leaves SSLv3 out because it has TLS 1.3, and both together are refused. So
    the range is tried on a socket that nobody uses.
    """
    try:
        calls = _Calls()
        calls.start()
    except ConfigError as error:
        return str(error)
    tried = calls.ssl.SSL_VersionRangeSet(calls.unused(), byref(_Range(SSLV3, TLS12)))
    return None if tried == 0 else f"NSS {calls.version()} does not speak SSLv3 any more"


def _item(data: bytes) -> _Item:
    item = _Item(0, ctypes.cast(ctypes.c_char_p(data), c_void_p), len(data))
    item.kept = data  # as long as the item lives
    return item


def _value_at() -> int:
    """Give the place of PRSocketOptionData's value, in 32-bit words: a union that is aligned as its widest member."""
    return 1 if ctypes.sizeof(c_void_p) == 4 else 2
