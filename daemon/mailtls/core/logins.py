"""Sessions of Dovecot's login processes: one line each, but for two that come in pairs.

`SSL: Stacked error:` holds the reason of the next line of the same program, which says only `Unknown error`; and a
failed initialisation is told twice, once with the reason and once as the end of the session.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailtls.core.cause import Outcome
from mailtls.core.dovecotlog import LoginLine
from mailtls.core.logline import LogLine
from mailtls.core.peer import Peer, canonical_ip
from mailtls.core.postfixlog import Program
from mailtls.core.printable import printable
from mailtls.core.session import Session
from mailtls.core.sessionstate import OpenSession
from mailtls.core.stamp import Calendar

_STACKED = 1000


class Logins:
    """Remembers the first lines of pairs; at most `_STACKED` of them."""

    def __init__(self) -> None:
        self.stacked: dict[bytes, bytes] = {}
        self.init_failed: tuple[bytes, bytes] | None = None

    def sessions(
        self, login: LoginLine, line: LogLine, raw: bytes, program: Program, calendar: Calendar
    ) -> Iterator[Session]:
        """Yield the session that this line ends, if it ends one."""
        place = line.source + login.service.encode()
        if login.stacked is not None:
            if len(self.stacked) >= _STACKED:
                self.stacked.clear()
            self.stacked[place] = login.stacked
            return
        if login.init_failed and self._is_second(login):
            return
        reason, number, cause = login.reason, login.reason_number, login.cause
        stacked = self.stacked.pop(place, None)
        if stacked is not None and reason == "Unknown error":
            error = OpenSession(b"", line.stamp)
            error.add_library(stacked, line.stamp)
            if error.library is not None:
                reason, number, cause = error.reason_of(error.library)
        ip = canonical_ip(printable(login.ip, 64))
        yield Session(
            calendar.read(line.stamp) if line.stamp else None,
            Peer(ip) if ip else None,
            login.service,
            program.door,
            login.outcome or Outcome.TLS_FAILED,
            cause,
            reason,
            number,
            login.tls_version,
            login.cipher,
            lines=(printable(raw),),
        )

    def _is_second(self, login: LoginLine) -> bool:
        again = (login.ip, login.service.encode())
        if self.init_failed == again and login.reason == "TLS initialization failed":
            self.init_failed = None
            return True
        self.init_failed = again
        return False
