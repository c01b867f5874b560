"""The login crowd: what a sieve or a skim counted at Dovecot's login processes, by address and by meaning.

There are tens of thousands of rows and a few dozen meanings: each row is looked at once, each meaning is read once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from mailtls.core.dovecotlog import LoginLine, login_service, read_login
from mailtls.core.history import FAILED
from mailtls.core.shape import Row


@dataclass(slots=True)
class Meaning:
    """What lines of one kind say, and how often it was said. `login`: None for none that counts as a session."""

    login: LoginLine | None
    count: int = 0


class LoginCrowd:
    """All login rows of a log. `by_address`: meanings with their rows."""

    def __init__(self, rows: dict[bytes, Row]) -> None:
        self.by_address: dict[bytes, list[tuple[Meaning, Row]]] = {}
        self._meanings: dict[tuple[bytes, bytes, bytes], Meaning] = {}
        meanings, by_address = self._meanings, self.by_address
        for key, row in rows.items():
            program, word, address, state = key.split(b"\0", 3)
            kind = program, word, state
            meaning = meanings.get(kind)
            if meaning is None:
                meaning = meanings[kind] = _read(*kind)
            meaning.count += row[0]
            if address in by_address:
                by_address[address].append((meaning, row))
            else:
                by_address[address] = [(meaning, row)]

    def of(self, addresses: Collection[bytes]) -> Iterator[tuple[bytes, LoginLine, Row]]:
        """Yield the rows of these addresses, in the order of the log."""
        found = [address for address in self.by_address if address in addresses]
        for address in found:
            for meaning, row in self.by_address[address]:
                if meaning.login is not None and row[0] > 0:
                    yield address, meaning.login, row

    def without(self, addresses: Collection[bytes]) -> Iterator[tuple[LoginLine, int]]:
        """Yield what all others said, and how often."""
        left = {id(meaning): meaning.count for meaning in self._meanings.values()}
        for address in addresses:
            for meaning, row in self.by_address.get(address, ()):
                left[id(meaning)] -= row[0]
        for meaning in self._meanings.values():
            if meaning.login is not None and left[id(meaning)]:
                yield meaning.login, left[id(meaning)]


def failed_logins(rows: dict[bytes, Row]) -> Counter[bytes]:
    """Count failures by address. Most rows are plain successes, which the end of their key tells."""
    found: Counter[bytes] = Counter()
    failed: dict[tuple[bytes, bytes, bytes], bool] = {}
    for key, row in rows.items():
        if key.endswith(b"\0TLS"):
            continue
        program, word, address, state = key.split(b"\0", 3)
        kind = program, word, state
        if kind not in failed:
            login = _read(*kind).login
            failed[kind] = login is not None and login.outcome in FAILED
        if failed[kind]:
            found[address] += row[0]
    return found


def _read(program: bytes, word: bytes, state: bytes) -> Meaning:
    sentence = b"Login" if word == b"Login" else b"Disconnected"
    text = b"%b-login: %b: user=<>, rip=192.0.2.1, lip=192.0.2.2, %b" % (program, sentence, state)
    found = login_service(b"dovecot", text)
    login = read_login(*found) if found is not None else None
    if login is None or login.outcome is None:
        return Meaning(None)
    return Meaning(login)
