"""How a hello is told on the screen: what it offers, what each door makes of it, and what follows."""

from __future__ import annotations

from collections.abc import Iterator

from mailtls.core.doorchoice import Way
from mailtls.core.helloshown import ShownHello
from mailtls.ctl.screen import GOOD, HEADING, Screen

_LONGEST_OFFER = 12  # suites that are named in text; --json has all
_WORDS = {Way.STRICT: "strict", Way.RSA_BESIDE: "strict with an RSA certificate beside"}


def hello_lines(row: ShownHello, view: Screen, command: str = "") -> Iterator[str]:
    """Tell the offer, the doors, the narrowest of them that takes it, and the command that opens it if there is one."""
    for line in _offer(row):
        yield view.prose(line, indent=2)
    for door in row.doors:
        word = _WORDS.get(Way(door.door), door.door)
        said = f"{door.tls_version} with {door.cipher}" if door.accepts else f"no: {door.reason}"
        yield view.prose(f"{word}: {said}", GOOD if door.accepts else "", indent=2)
    yield view.prose(_advice(row, command), "" if row.narrowest == Way.STRICT else HEADING, indent=2)
    if command:
        yield view.prose(command, HEADING, indent=4)


def _offer(row: ShownHello) -> Iterator[str]:
    shape = " in the format of SSLv2" if row.sslv2_format else ""
    versions = ", ".join(row.versions) if row.versions else f"up to {row.highest_version}"
    cut = "; only its beginning was seen" if row.truncated else ""
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


def _advice(row: ShownHello, command: str) -> str:
    if row.changes:
        return f"No door takes it: the peer {'; '.join(row.changes)}."
    if row.narrowest == Way.STRICT:
        return "The strict door takes it."
    if row.narrowest == Way.RSA_BESIDE:
        words = "An RSA certificate beside the ECDSA one lets it in, and weakens nothing."
        return f"{words} Until then:" if command else words
    return f"The narrowest door that takes it is {row.narrowest}{':' if command else '.'}"
