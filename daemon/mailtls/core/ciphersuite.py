"""Cipher suites by number: OpenSSL's name, key exchange, authentication, and the oldest version that knows them.

The table has every suite that OpenSSL 0.9.8 to 3.5 has ever had a name for (ssl/s3_lib.c `ssl3_ciphers`,
ssl/t1_lib.c; the numbers are IANA's), because an old peer offers what no library has any more. Everything else follows
from the name (ciphers(1)); a test compares it with `openssl ciphers -V`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from mailtls.core.tlsversion import SSLV3, TLS10, TLS12, TLS13, number_of

FALLBACK_SCSV = 0x5600  # RFC 7507: the client came back with less than it can
RENEGOTIATION_SCSV = 0x00FF  # RFC 5746
SIGNALS = frozenset({FALLBACK_SCSV, RENEGOTIATION_SCSV})
"""Numbers in the list of suites that are no suites."""

_TABLE = """\
0001 NULL-MD5  0002 NULL-SHA  0003 EXP-RC4-MD5  0004 RC4-MD5  0005 RC4-SHA  0006 EXP-RC2-CBC-MD5  0007 IDEA-CBC-SHA
0008 EXP-DES-CBC-SHA  0009 DES-CBC-SHA  000A DES-CBC3-SHA  000B EXP-DH-DSS-DES-CBC-SHA  000C DH-DSS-DES-CBC-SHA
000D DH-DSS-DES-CBC3-SHA  000E EXP-DH-RSA-DES-CBC-SHA  000F DH-RSA-DES-CBC-SHA  0010 DH-RSA-DES-CBC3-SHA
0011 EXP-EDH-DSS-DES-CBC-SHA  0012 EDH-DSS-DES-CBC-SHA  0013 DHE-DSS-DES-CBC3-SHA  0014 EXP-EDH-RSA-DES-CBC-SHA
0015 EDH-RSA-DES-CBC-SHA  0016 DHE-RSA-DES-CBC3-SHA  0017 EXP-ADH-RC4-MD5  0018 ADH-RC4-MD5  0019 EXP-ADH-DES-CBC-SHA
001A ADH-DES-CBC-SHA  001B ADH-DES-CBC3-SHA  002C PSK-NULL-SHA  002D DHE-PSK-NULL-SHA  002E RSA-PSK-NULL-SHA
002F AES128-SHA  0030 DH-DSS-AES128-SHA  0031 DH-RSA-AES128-SHA  0032 DHE-DSS-AES128-SHA  0033 DHE-RSA-AES128-SHA
0034 ADH-AES128-SHA  0035 AES256-SHA  0036 DH-DSS-AES256-SHA  0037 DH-RSA-AES256-SHA  0038 DHE-DSS-AES256-SHA
0039 DHE-RSA-AES256-SHA  003A ADH-AES256-SHA  003B NULL-SHA256  003C AES128-SHA256  003D AES256-SHA256
0040 DHE-DSS-AES128-SHA256  0041 CAMELLIA128-SHA  0044 DHE-DSS-CAMELLIA128-SHA  0045 DHE-RSA-CAMELLIA128-SHA
0046 ADH-CAMELLIA128-SHA  0062 EXP1024-DES-CBC-SHA  0063 EXP1024-DHE-DSS-DES-CBC-SHA  0064 EXP1024-RC4-SHA
0065 EXP1024-DHE-DSS-RC4-SHA  0066 DHE-DSS-RC4-SHA  0067 DHE-RSA-AES128-SHA256  006A DHE-DSS-AES256-SHA256
006B DHE-RSA-AES256-SHA256  006C ADH-AES128-SHA256  006D ADH-AES256-SHA256  0084 CAMELLIA256-SHA
0087 DHE-DSS-CAMELLIA256-SHA  0088 DHE-RSA-CAMELLIA256-SHA  0089 ADH-CAMELLIA256-SHA  008A PSK-RC4-SHA
008B PSK-3DES-EDE-CBC-SHA  008C PSK-AES128-CBC-SHA  008D PSK-AES256-CBC-SHA  008E DHE-PSK-RC4-SHA
008F DHE-PSK-3DES-EDE-CBC-SHA  0090 DHE-PSK-AES128-CBC-SHA  0091 DHE-PSK-AES256-CBC-SHA  0092 RSA-PSK-RC4-SHA
0093 RSA-PSK-3DES-EDE-CBC-SHA  0094 RSA-PSK-AES128-CBC-SHA  0095 RSA-PSK-AES256-CBC-SHA  0096 SEED-SHA
0099 DHE-DSS-SEED-SHA  009A DHE-RSA-SEED-SHA  009B ADH-SEED-SHA  009C AES128-GCM-SHA256  009D AES256-GCM-SHA384
009E DHE-RSA-AES128-GCM-SHA256  009F DHE-RSA-AES256-GCM-SHA384  00A2 DHE-DSS-AES128-GCM-SHA256
00A3 DHE-DSS-AES256-GCM-SHA384  00A6 ADH-AES128-GCM-SHA256  00A7 ADH-AES256-GCM-SHA384  00A8 PSK-AES128-GCM-SHA256
00A9 PSK-AES256-GCM-SHA384  00AA DHE-PSK-AES128-GCM-SHA256  00AB DHE-PSK-AES256-GCM-SHA384
00AC RSA-PSK-AES128-GCM-SHA256  00AD RSA-PSK-AES256-GCM-SHA384  00AE PSK-AES128-CBC-SHA256  00AF PSK-AES256-CBC-SHA384
00B0 PSK-NULL-SHA256  00B1 PSK-NULL-SHA384  00B2 DHE-PSK-AES128-CBC-SHA256  00B3 DHE-PSK-AES256-CBC-SHA384
00B4 DHE-PSK-NULL-SHA256  00B5 DHE-PSK-NULL-SHA384  00B6 RSA-PSK-AES128-CBC-SHA256  00B7 RSA-PSK-AES256-CBC-SHA384
00B8 RSA-PSK-NULL-SHA256  00B9 RSA-PSK-NULL-SHA384  00BA CAMELLIA128-SHA256  00BD DHE-DSS-CAMELLIA128-SHA256
00BE DHE-RSA-CAMELLIA128-SHA256  00BF ADH-CAMELLIA128-SHA256  00C0 CAMELLIA256-SHA256  00C3 DHE-DSS-CAMELLIA256-SHA256
00C4 DHE-RSA-CAMELLIA256-SHA256  00C5 ADH-CAMELLIA256-SHA256  1301 TLS_AES_128_GCM_SHA256  1302 TLS_AES_256_GCM_SHA384
1303 TLS_CHACHA20_POLY1305_SHA256  1304 TLS_AES_128_CCM_SHA256  1305 TLS_AES_128_CCM_8_SHA256
C001 ECDH-ECDSA-NULL-SHA  C002 ECDH-ECDSA-RC4-SHA  C003 ECDH-ECDSA-DES-CBC3-SHA  C004 ECDH-ECDSA-AES128-SHA
C005 ECDH-ECDSA-AES256-SHA  C006 ECDHE-ECDSA-NULL-SHA  C007 ECDHE-ECDSA-RC4-SHA  C008 ECDHE-ECDSA-DES-CBC3-SHA
C009 ECDHE-ECDSA-AES128-SHA  C00A ECDHE-ECDSA-AES256-SHA  C00B ECDH-RSA-NULL-SHA  C00C ECDH-RSA-RC4-SHA
C00D ECDH-RSA-DES-CBC3-SHA  C00E ECDH-RSA-AES128-SHA  C00F ECDH-RSA-AES256-SHA  C010 ECDHE-RSA-NULL-SHA
C011 ECDHE-RSA-RC4-SHA  C012 ECDHE-RSA-DES-CBC3-SHA  C013 ECDHE-RSA-AES128-SHA  C014 ECDHE-RSA-AES256-SHA
C015 AECDH-NULL-SHA  C016 AECDH-RC4-SHA  C017 AECDH-DES-CBC3-SHA  C018 AECDH-AES128-SHA  C019 AECDH-AES256-SHA
C01A SRP-3DES-EDE-CBC-SHA  C01B SRP-RSA-3DES-EDE-CBC-SHA  C01C SRP-DSS-3DES-EDE-CBC-SHA  C01D SRP-AES-128-CBC-SHA
C01E SRP-RSA-AES-128-CBC-SHA  C01F SRP-DSS-AES-128-CBC-SHA  C020 SRP-AES-256-CBC-SHA  C021 SRP-RSA-AES-256-CBC-SHA
C022 SRP-DSS-AES-256-CBC-SHA  C023 ECDHE-ECDSA-AES128-SHA256  C024 ECDHE-ECDSA-AES256-SHA384
C025 ECDH-ECDSA-AES128-SHA256  C026 ECDH-ECDSA-AES256-SHA384  C027 ECDHE-RSA-AES128-SHA256
C028 ECDHE-RSA-AES256-SHA384  C029 ECDH-RSA-AES128-SHA256  C02A ECDH-RSA-AES256-SHA384
C02B ECDHE-ECDSA-AES128-GCM-SHA256  C02C ECDHE-ECDSA-AES256-GCM-SHA384  C02D ECDH-ECDSA-AES128-GCM-SHA256
C02E ECDH-ECDSA-AES256-GCM-SHA384  C02F ECDHE-RSA-AES128-GCM-SHA256  C030 ECDHE-RSA-AES256-GCM-SHA384
C031 ECDH-RSA-AES128-GCM-SHA256  C032 ECDH-RSA-AES256-GCM-SHA384  C033 ECDHE-PSK-RC4-SHA
C034 ECDHE-PSK-3DES-EDE-CBC-SHA  C035 ECDHE-PSK-AES128-CBC-SHA  C036 ECDHE-PSK-AES256-CBC-SHA
C037 ECDHE-PSK-AES128-CBC-SHA256  C038 ECDHE-PSK-AES256-CBC-SHA384  C039 ECDHE-PSK-NULL-SHA
C03A ECDHE-PSK-NULL-SHA256  C03B ECDHE-PSK-NULL-SHA384  C050 ARIA128-GCM-SHA256  C051 ARIA256-GCM-SHA384
C052 DHE-RSA-ARIA128-GCM-SHA256  C053 DHE-RSA-ARIA256-GCM-SHA384  C056 DHE-DSS-ARIA128-GCM-SHA256
C057 DHE-DSS-ARIA256-GCM-SHA384  C05C ECDHE-ECDSA-ARIA128-GCM-SHA256  C05D ECDHE-ECDSA-ARIA256-GCM-SHA384
C060 ECDHE-ARIA128-GCM-SHA256  C061 ECDHE-ARIA256-GCM-SHA384  C06A PSK-ARIA128-GCM-SHA256  C06B PSK-ARIA256-GCM-SHA384
C06C DHE-PSK-ARIA128-GCM-SHA256  C06D DHE-PSK-ARIA256-GCM-SHA384  C06E RSA-PSK-ARIA128-GCM-SHA256
C06F RSA-PSK-ARIA256-GCM-SHA384  C072 ECDHE-ECDSA-CAMELLIA128-SHA256  C073 ECDHE-ECDSA-CAMELLIA256-SHA384
C076 ECDHE-RSA-CAMELLIA128-SHA256  C077 ECDHE-RSA-CAMELLIA256-SHA384  C094 PSK-CAMELLIA128-SHA256
C095 PSK-CAMELLIA256-SHA384  C096 DHE-PSK-CAMELLIA128-SHA256  C097 DHE-PSK-CAMELLIA256-SHA384
C098 RSA-PSK-CAMELLIA128-SHA256  C099 RSA-PSK-CAMELLIA256-SHA384  C09A ECDHE-PSK-CAMELLIA128-SHA256
C09B ECDHE-PSK-CAMELLIA256-SHA384  C09C AES128-CCM  C09D AES256-CCM  C09E DHE-RSA-AES128-CCM  C09F DHE-RSA-AES256-CCM
C0A0 AES128-CCM8  C0A1 AES256-CCM8  C0A2 DHE-RSA-AES128-CCM8  C0A3 DHE-RSA-AES256-CCM8  C0A4 PSK-AES128-CCM
C0A5 PSK-AES256-CCM  C0A6 DHE-PSK-AES128-CCM  C0A7 DHE-PSK-AES256-CCM  C0A8 PSK-AES128-CCM8  C0A9 PSK-AES256-CCM8
C0AA DHE-PSK-AES128-CCM8  C0AB DHE-PSK-AES256-CCM8  C0AC ECDHE-ECDSA-AES128-CCM  C0AD ECDHE-ECDSA-AES256-CCM
C0AE ECDHE-ECDSA-AES128-CCM8  C0AF ECDHE-ECDSA-AES256-CCM8  CCA8 ECDHE-RSA-CHACHA20-POLY1305
CCA9 ECDHE-ECDSA-CHACHA20-POLY1305  CCAA DHE-RSA-CHACHA20-POLY1305  CCAB PSK-CHACHA20-POLY1305
CCAC ECDHE-PSK-CHACHA20-POLY1305  CCAD DHE-PSK-CHACHA20-POLY1305  CCAE RSA-PSK-CHACHA20-POLY1305
"""


class KeyExchange(StrEnum):
    """How the keys are agreed on; `other`: as no Postfix does (PSK, SRP, DH in the certificate)."""

    ANY = "any"
    RSA = "RSA"
    DHE = "DHE"
    ECDHE = "ECDHE"
    OTHER = "other"


class Authentication(StrEnum):
    """What key the server must have; `none`: no certificate at all; `other`: DSS, PSK, SRP, GOST."""

    ANY = "any"
    RSA = "RSA"
    ECDSA = "ECDSA"
    NONE = "none"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class CipherSuite:
    """One suite. `oldest`: the lowest version that may use it, as a number; those of TLS 1.3 are of no other."""

    number: int
    name: str
    key_exchange: KeyExchange
    authentication: Authentication
    oldest: int

    def serves(self, version: int) -> bool:
        """Tell whether this version may use it."""
        return version == TLS13 if self.oldest == TLS13 else self.oldest <= version <= TLS12


def is_grease(number: int) -> bool:
    """Tell whether this is one of the numbers that mean nothing, by design (RFC 8701)."""
    return number & 0x0F0F == 0x0A0A and number >> 8 == number & 0xFF


def name_of(number: int) -> str:
    """Name a suite as OpenSSL does, or by its hexadecimal number."""
    suite = BY_NUMBER.get(number)
    return suite.name if suite is not None else f"0x{number:04X}"


def named(names: Iterable[str]) -> tuple[CipherSuite, ...]:
    """Look suites up by OpenSSL's names, in the order given; names that nobody knows are left out."""
    return tuple(suite for name in names if (suite := _BY_NAME.get(name)) is not None)


def read_listing(text: str) -> tuple[CipherSuite, ...]:
    """Read what `openssl ciphers -V LIST` prints, in its order; lines of another form are left out.

    `0xC0,0x2C - ECDHE-ECDSA-AES256-GCM-SHA384 TLSv1.2 Kx=ECDH Au=ECDSA Enc=AESGCM(256) Mac=AEAD` (apps/ciphers.c).
    """
    return tuple(suite for line in text.splitlines() if (suite := _read_line(line.split())) is not None)


_KX = {"any": KeyExchange.ANY, "RSA": KeyExchange.RSA, "DH": KeyExchange.DHE, "ECDH": KeyExchange.ECDHE}
_AU = {
    "any": Authentication.ANY,
    "RSA": Authentication.RSA,
    "ECDSA": Authentication.ECDSA,
    "None": Authentication.NONE,
}


def _read_line(words: list[str]) -> CipherSuite | None:
    if len(words) < 6 or words[1] != "-" or not words[4].startswith("Kx=") or not words[5].startswith("Au="):
        return None
    high, _, low = words[0].partition(",")
    oldest = number_of(words[3])
    try:
        number = int(high, 16) << 8 | int(low, 16)
    except ValueError:
        return None
    if oldest is None:
        return None
    exchange = _KX.get(words[4][3:], KeyExchange.OTHER)
    return CipherSuite(number, words[2], exchange, _AU.get(words[5][3:], Authentication.OTHER), oldest)


def _key_exchange(name: str) -> KeyExchange:
    if name.startswith("TLS_"):
        return KeyExchange.ANY
    if "PSK" in name or "SRP" in name or name.startswith(("ECDH-", "DH-", "EXP-DH-")):
        return KeyExchange.OTHER
    if name.startswith(("ECDHE-", "AECDH-")):
        return KeyExchange.ECDHE
    if any(part in ("DHE", "EDH", "ADH") for part in name.split("-")):
        return KeyExchange.DHE
    return KeyExchange.RSA


def _authentication(name: str) -> Authentication:
    parts = name.split("-")
    if name.startswith("TLS_"):
        return Authentication.ANY
    if "ADH" in parts or "AECDH" in parts:
        return Authentication.NONE
    if "ECDSA" in parts and "ECDHE" in parts:
        return Authentication.ECDSA
    # `RSA-PSK-...` and `SRP-RSA-...` show an RSA certificate, too.
    other = ("DSS" in parts) or (("PSK" in parts or "SRP" in parts) and "RSA" not in parts)
    return Authentication.OTHER if other or name.startswith(("ECDH-", "DH-", "EXP-DH-")) else Authentication.RSA


def _oldest(name: str, exchange: KeyExchange) -> int:
    if name.startswith("TLS_"):
        return TLS13
    new = any(part.startswith(("GCM", "CCM", "POLY1305", "SHA256", "SHA384")) for part in name.split("-"))
    if "PSK" in name and new and not any(word in name for word in ("GCM", "CCM", "POLY1305")):
        return TLS10  # RFC 5487 gave the CBC suites of PSK their new digests, for every version of TLS
    if new:
        return TLS12
    return TLS10 if exchange is KeyExchange.ECDHE or name.startswith("ECDH") else SSLV3


def _suites() -> Iterator[CipherSuite]:
    words = _TABLE.split()
    for number, name in zip(words[::2], words[1::2], strict=True):
        exchange = _key_exchange(name)
        yield CipherSuite(int(number, 16), name, exchange, _authentication(name), _oldest(name, exchange))


BY_NUMBER: dict[int, CipherSuite] = {suite.number: suite for suite in _suites()}
"""Every suite with a name."""

_BY_NAME = {suite.name: suite for suite in BY_NUMBER.values()}
