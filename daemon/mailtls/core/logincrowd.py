"""The login crowd: what a sieve or a skim counted at Dovecot's login processes, by address and by meaning.

There are tens of thousands of rows and a few dozen meanings: each meaning is read once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator

from mailtls.core.dovecotlog import LoginLine, login_service, read_login
from mailtls.core.history import FAILED
from mailtls.core.shape import Row

_Of = tuple[bytes, LoginLine, Row]


class LoginCrowd:
    """All login rows of a log. Nothing is kept beside them but what their meanings are, and of whom they were."""

    def __init__(self, rows: dict[bytes, Row]) -> None:
        self._rows = rows
        self._meanings: dict[tuple[bytes, bytes, bytes], LoginLine | None] = {}

    def of(self, addresses: Container[bytes]) -> Iterator[_Of]:
        """Yield the rows of these addresses, in the order of the log; there may be as many as were counted."""
        for key, row in self._rows.items():
            program, word, address, state = key.split(b"\0", 3)
            if address in addresses and row[0] > 0:
                login = self._meaning((program, word, state))
                if login is not None:
                    yield address, login, row

    def without(self, addresses: Container[bytes]) -> tuple[list[tuple[LoginLine, int]], set[bytes]]:
        """Tell what all others said and how often, and who they are."""
        _, said, others = self.parted(addresses)
        return said, others

    def parted(self, addresses: Container[bytes]) -> tuple[list[_Of], list[tuple[LoginLine, int]], set[bytes]]:
        """Both at once, for few addresses among many."""
        theirs: list[_Of] = []
        counts: Counter[tuple[bytes, bytes, bytes]] = Counter()
        others: set[bytes] = set()
        for key, row in self._rows.items():
            program, word, address, state = key.split(b"\0", 3)
            if address not in addresses:
                counts[program, word, state] += row[0]
                others.add(address)
            elif row[0] > 0:
                login = self._meaning((program, word, state))
                if login is not None:
                    theirs.append((address, login, row))
        said = [(self._meaning(kind), count) for kind, count in counts.items()]
        return theirs, [(login, count) for login, count in said if login is not None], others

    def _meaning(self, kind: tuple[bytes, bytes, bytes]) -> LoginLine | None:
        if kind not in self._meanings:
            self._meanings[kind] = _read(*kind)
        return self._meanings[kind]


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
            login = _read(*kind)
            failed[kind] = login is not None and login.outcome in FAILED
        if failed[kind]:
            found[address] += row[0]
    return found


def _read(program: bytes, word: bytes, state: bytes) -> LoginLine | None:
    """What lines of this kind say; None for what counts as no session."""
    sentence = b"Login" if word == b"Login" else b"Disconnected"
    text = b"%b-login: %b: user=<>, rip=192.0.2.1, lip=192.0.2.2, %b" % (program, sentence, state)
    found = login_service(b"dovecot", text)
    login = read_login(*found) if found is not None else None
    return login if login is not None and login.outcome is not None else None
