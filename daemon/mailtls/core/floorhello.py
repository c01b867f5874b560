"""What a peer's hello says of a floor: whether a door that has been made stricter would still take it.

A hello speaks for the handshakes that the log shows to be its own: those with the version and the suite that the strict
door chooses for it now. It says nothing of others from the same address, of other machines or of times when the door
or the peer was different. So whoever forges a hello in a peer's name says no more than the log does.

BUGS: keys are taken to be those of `serverprofile.profile_of`, and the client's order of suites to count; with
tls_preempt_cipherlist a hello may not agree with the log, and is then not heard.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from mailtls.core.ciphersuite import named
from mailtls.core.floor import Floor, Foretold
from mailtls.core.handshake import Negotiated, predict
from mailtls.core.hellotext import read_hello_text
from mailtls.core.serverprofile import ServerKey, ServerProfile, SigningKey
from mailtls.core.suite import KeyType
from mailtls.core.tlsversion import TLS13, name_of

ALIKE = 4096  # hellos of which the answer is kept: most peers offer what others offer


class HelloJudge:
    """Judges stored hellos by one floor. `strict`: what the strict door offers now."""

    def __init__(self, floor: Floor, strict: ServerProfile) -> None:
        self._strict, self._raised = strict, raised(strict, floor)
        self.read = lru_cache(ALIKE)(self._read)
        """Say what a hello as the store keeps it (core/hellotext.py) foretells."""

    def _read(self, text: str) -> Foretold | None:
        """Give None where it says nothing: it is damaged, cut off, or refused already."""
        hello = read_hello_text(text)
        if hello is None or not hello.tells_all:
            return None
        now = predict(hello, self._strict)
        if not isinstance(now, Negotiated):
            return None
        then = predict(hello, self._raised)
        refused = None if isinstance(then, Negotiated) else str(then)
        return Foretold(name_of(now.version), now.cipher.name, refused)


def raised(strict: ServerProfile, floor: Floor) -> ServerProfile:
    """Make the door stricter: what the floor forbids is taken away.

    Where the certificate that goes is the only one, one of the other kind is taken to stand in its place.
    """
    versions, keys, ciphers = strict.versions, strict.keys, strict.ciphers
    if floor.version is not None:
        lowest = floor.version
        versions = frozenset(version for version in versions if version >= lowest)
    if floor.without is not None:
        gone, other = SigningKey(floor.without), _OTHER[floor.without]
        keys = tuple(key for key in keys if key.kind is not gone)
        if strict.keys and not keys:
            keys = (ServerKey(SigningKey(other)),)
            twins = (suite.name.replace(f"-{gone}-", f"-{other}-") for suite in ciphers if f"-{gone}-" in suite.name)
            ciphers = (*ciphers, *named(twins))
    if floor.ciphers is not None:
        taken = floor.ciphers
        ciphers = tuple(suite for suite in ciphers if suite.oldest == TLS13 or suite.name in taken)
    return replace(strict, versions=versions, keys=keys, ciphers=ciphers)


_OTHER = {KeyType.RSA: KeyType.ECDSA, KeyType.ECDSA: KeyType.RSA}
