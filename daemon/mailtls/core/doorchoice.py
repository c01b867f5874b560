"""The narrowest way in for a hello: which of a server's doors would take it, and what the peer must change if none.

Every door is asked (`handshake.predict`); the first that takes the hello, from the strict one down, is the narrowest.
An RSA certificate beside the ECDSA one comes before any waiver: it weakens nothing for anybody.

A peer that says that it came back with less than it can (RFC 7507) is given no door by that hello: it would be the
reward for breaking its first one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from mailtls.core.ciphersuite import (
    BY_NUMBER,
    FALLBACK_SCSV,
    SIGNALS,
    CipherSuite,
    KeyExchange,
    is_grease,
    name_of,
    named,
)
from mailtls.core.clienthello import ClientHello
from mailtls.core.handshake import Negotiated, Prediction, Refused, predict
from mailtls.core.level import NO_SHARED_CIPHER, UNKNOWN_PROTOCOL, Level
from mailtls.core.postfixview import Doorway, PostfixSettings
from mailtls.core.serverprofile import (
    GATEWAY,
    OPENSSL_VERSIONS,
    ServerKey,
    ServerProfile,
    SigningKey,
    profile_of,
)
from mailtls.core.suite import KeyType, key_type_of
from mailtls.core.tlsversion import name_of as version_name


class Way(StrEnum):
    """The ways in, narrowest first; `rsa-beside`: the strict door, with an RSA certificate added to it."""

    STRICT = "strict"
    RSA_BESIDE = "rsa-beside"
    LEGACY_RSA = "legacy-rsa"
    LEGACY = "legacy"
    SSLV3 = "sslv3"


_LEVELS = {Way.LEGACY_RSA: Level.LEGACY_RSA, Way.LEGACY: Level.LEGACY, Way.SSLV3: Level.SSLV3}
FALLBACK_REASON = 0x175

_RSA = ServerKey(SigningKey.RSA)
# What Debian 12 and 13 build no more into their OpenSSL, what nobody may have, and what needs keys that nobody has.
_GONE = ("RC4", "RC2", "DES", "IDEA", "SEED", "NULL", "EXP", "EXP1024", "DSS", "ADH", "AECDH")
_LEGACY_CIPHERS = tuple(
    suite
    for suite in BY_NUMBER.values()
    if suite.key_exchange is not KeyExchange.OTHER and not set(_GONE) & set(suite.name.replace("CBC3", "").split("-"))
)
LEGACY = ServerProfile(OPENSSL_VERSIONS, _LEGACY_CIPHERS, (_RSA,))
"""The `legacy` door where setup has made none yet: as low as Debian's OpenSSL goes."""

Doors = Mapping[Way, ServerProfile]

STOCK: Doors = {
    Way.STRICT: replace(LEGACY, keys=(_RSA, ServerKey(SigningKey.ECDSA))),
    Way.SSLV3: GATEWAY,
}
"""The doors of Debian's Postfix as it comes, with both kinds of certificates; its strict door is as low as any."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What would become of a hello at each door. `changes`: what the peer would have to change, where none takes it."""

    tried: Mapping[Way, Prediction]
    changes: tuple[str, ...] = ()

    @property
    def narrowest(self) -> Way | None:
        """Give the first door that takes the hello; None: none does, or none may."""
        if self.came_back_with_less:
            return None
        return next((way for way, answer in self.tried.items() if isinstance(answer, Negotiated)), None)

    @property
    def level(self) -> Level | None:
        """Give the level of the waiver that would let the peer in; None: it needs none, or none would."""
        if self.narrowest in (None, Way.STRICT):
            return None
        return next((_LEVELS[way] for way, said in self.tried.items() if way in _LEVELS and not _refused(said)), None)

    @property
    def taking(self) -> Mapping[Level, Negotiated]:
        """Give the levels whose doors take the hello, narrowest first, with what comes about there."""
        found = ((level, self.tried.get(way)) for way, level in _LEVELS.items())
        return {level: said for level, said in found if isinstance(said, Negotiated)}

    @property
    def came_back_with_less(self) -> bool:
        """Tell whether the strict door refuses the hello, and any door because the peer says that it can do better."""
        return _refused(self.tried[Way.STRICT]) and FALLBACK_REASON in map(_reason, self.tried.values())


def _refused(answer: Prediction) -> bool:
    return isinstance(answer, Refused)


def _reason(answer: Prediction) -> int | None:
    return answer.reason if isinstance(answer, Refused) else None


def doors_of(settings: PostfixSettings) -> Doors | None:
    """Make the profiles of a server's doors; those that were not made are what setup would make. None: unknown."""
    if settings.strict is None:
        return None
    strict = profile_of(settings.strict)
    doors = {Way.STRICT: strict}
    if not strict.has(SigningKey.RSA):
        both = (*strict.ciphers, *_served_with_rsa(strict, settings.door(Level.LEGACY_RSA)))
        doors[Way.RSA_BESIDE] = replace(strict, keys=(*strict.keys, _RSA), ciphers=both)
        doors[Way.LEGACY_RSA] = replace(strict, keys=(_RSA,), ciphers=both)
    doors[Way.LEGACY] = LEGACY
    doors[Way.SSLV3] = GATEWAY
    for way, level in _LEVELS.items():
        made = settings.door(level)
        if made is not None and made.offers.versions and way is not Way.SSLV3:
            doors[way] = profile_of(made.offers)
    return {way: doors[way] for way in Way if way in doors}


def _served_with_rsa(strict: ServerProfile, made: Doorway | None) -> tuple[CipherSuite, ...]:
    """Give the suites that an RSA certificate would add: what is known of a service has those of its certificates only.

    Those of the legacy-rsa door where it was made: its cipher list is the strict one's. Else twins of what is there.
    """
    if made is not None and made.offers.ciphers:
        return named(tuple(name for name in made.offers.ciphers if key_type_of(name) is KeyType.RSA))
    return named(tuple(suite.name.replace("-ECDSA-", "-RSA-") for suite in strict.ciphers if "-ECDSA-" in suite.name))


def choose(hello: ClientHello, doors: Doors) -> Choice:
    """Ask every door what it would make of the hello."""
    tried = {way: predict(hello, server) for way, server in doors.items()}
    choice = Choice(tried)
    return choice if choice.narrowest is not None else Choice(tried, tuple(_changes(hello, doors, choice)))


def _changes(hello: ClientHello, doors: Doors, choice: Choice) -> list[str]:
    """Say what the peer would have to do; by its newest version at the lowest door that knows it."""
    if choice.came_back_with_less:
        without = replace(hello, ciphers=tuple(number for number in hello.ciphers if number != FALLBACK_SCSV))
        better = predict(without, doors[Way.STRICT])
        then = f"without that, {better}" if isinstance(better, Negotiated) else f"without that, too: {better}"
        return [
            f"says that it came back with less than it can (RFC 7507), which is refused on purpose ({then}); "
            "look at its first attempt"
        ]
    answer = choice.tried.get(Way.LEGACY, choice.tried[Way.STRICT])
    if hello.flaw is not None:
        return [f"sends a hello that makes no sense ({answer}); its software must be repaired"]
    if hello.broken:
        broken = ", ".join(str(number) for number in sorted(hello.broken))
        return [f"sends extensions that make no sense (number {broken}); its software must be repaired"]
    if isinstance(answer, Refused):
        return [_change(hello, answer)]
    return []


def _change(hello: ClientHello, refused: Refused) -> str:
    if refused.reason == UNKNOWN_PROTOCOL:
        return "speaks SSL 2.0 only; it must speak TLS 1.2, or at least SSL 3.0 for the sslv3 gateway"
    if hello.highest <= 0x0300:
        oldest = version_name(hello.version)
        return f"speaks {oldest} at most, with {_offered(hello)}; it must offer AES128-SHA or better"
    if refused.reason == NO_SHARED_CIPHER:
        without = "" if hello.groups is not None else " (and no supported_groups, without which no ECDHE counts)"
        return f"offers {_offered(hello)}{without}; it must offer AES128-SHA or better"
    if refused.reason in (0x076, 0x178, 0x172, 0x070):
        return f"takes no signature that a server here can make ({refused}); it must take RSA with SHA-256"
    if refused.reason in (0x065, 0x06C, 0x0D1):
        return f"has no key exchange in common with any server here ({refused}); it must offer P-256 or X25519"
    return f"is refused with `{refused}`; its software must be repaired or replaced"


def _offered(hello: ClientHello, most: int = 6) -> str:
    suites = [name_of(number) for number in hello.ciphers if number not in SIGNALS and not is_grease(number)]
    if not suites:
        return "no cipher suite at all"
    more = f" and {len(suites) - most} more" if len(suites) > most else ""
    return ", ".join(suites[:most]) + more
