"""What the running Postfix really shows at its port: one handshake for each kind of certificate, by openssl(1).

Its processes go on with the certificate that they began with, so that the file and what senders see may differ. Asked
is with the name that senders ask for (RFC 7672 8.1, RFC 8461 4): tables of names may lead to other certificates.
"""

from __future__ import annotations

import tempfile

from mailtls.core.doctoridentity import FileState, Identity, kinds_of
from mailtls.core.pem import parse_pem
from mailtls.core.suite import KeyType
from mailtls.edge.doctorfiles import records, trust_of
from mailtls.edge.listening import spelled
from mailtls.edge.openssl import ask_loudly
from mailtls.edge.runningmaster import Address
from mailtls.errors import PostfixError

_SIGNATURES = {
    KeyType.RSA: "RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:RSA+SHA256:RSA+SHA384:RSA+SHA512:RSA+SHA1",
    KeyType.ECDSA: "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ECDSA+SHA1",
}


def served(host: str, address: Address) -> tuple[Identity, ...]:
    """Give what is shown to who asks for `host`, each certificate once; nothing where no handshake came about."""
    found: dict[bytes, Identity] = {}
    for kind, signatures in _SIGNATURES.items():
        try:
            _, said = ask_loudly(
                "s_client", "-connect", spelled(address), "-starttls", "smtp", "-name", "localhost", "-servername",
                host, "-showcerts", "-sigalgs", signatures, "-cipher", "ALL:@SECLEVEL=0",
            )  # fmt: skip
            identity = _identity(said, f"the {kind.value} certificate shown at {spelled(address)}")
        except PostfixError:  # it took too long: the other kind would as well
            break
        if identity is not None and identity.leaf is not None:
            found.setdefault(identity.leaf.content, identity)
    return tuple(found.values())


def is_whole(shown: tuple[Identity, ...], files: tuple[Identity, ...]) -> bool:
    """Tell whether every kind that the files hold was shown."""
    return bool(shown) and set(kinds_of(files)) <= set(kinds_of(shown))


def _identity(said: str, name: str) -> Identity | None:
    blocks = list(dict.fromkeys(block for block in parse_pem(said) if block.is_certificate))
    chain = records(blocks)
    if not chain:
        return None
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write("\n".join(block.text for block in blocks))
        file.flush()
        trust = trust_of(blocks, file.name)
    return Identity("", name, "", "", FileState.READ, FileState.ABSENT, chain, trust=trust)
