"""The crowd: what the sieve counted, turned into verdicts for those peers that somebody asks about.

Most peers of a large log succeed and nobody asks; their rows stay raw text until a report lists them. Each shape is
decided by the assembler (or by the same functions, from a cache), once for all its sessions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import chain

from mailtls.core.assembler import Assembler
from mailtls.core.cause import Cause, Outcome, Service
from mailtls.core.dovecotlog import LoginLine
from mailtls.core.evidence import Evidence, Kind
from mailtls.core.history import FAILED, TIMES_PER_PEER, History, Tally, Total, Verdict, verdict_of
from mailtls.core.logincrowd import LoginCrowd, failed_logins
from mailtls.core.peer import Peer, canonical_ip
from mailtls.core.postfixlog import Program, read_smtpd
from mailtls.core.printable import printable
from mailtls.core.session import Session
from mailtls.core.sessionstate import OpenSession, conclude
from mailtls.core.shape import Row, Shapes, address_in
from mailtls.core.skim import SUITE, Skim
from mailtls.core.stamp import Calendar

_Counted = tuple[Session, int, datetime | None]
_Trouble = tuple[list[_Counted], list[datetime]]  # sessions of one kind of failure, and when each was


class Crowd:
    """All rows of a sieve. `settle` moves the chosen peers into a history; the rest is counted and listed from here."""

    def __init__(self, shapes: Shapes, calendar: Calendar) -> None:
        self._shapes = shapes
        self._calendar = calendar
        self._program = Program(shapes.host_and_tag.rsplit(b" ", 1)[-1])
        self._suites: dict[bytes, tuple[str | None, str | None]] = {}
        self._logins = LoginCrowd(shapes.logins)
        self._settled: set[bytes] = set()
        self._understood: tuple[frozenset[bytes], list[_Trouble], list[_Counted]] | None = None
        self._totals: Counter[Total] | None = None
        self._peers: int | None = None
        self._others: tuple[list[tuple[LoginLine, int]], set[bytes]] | None = None

    # --- choosing --------------------------------------------------------------------------------------------

    def failing(self) -> Counter[bytes]:
        """Count the failures of each address, as the log spells it."""
        found: Counter[bytes] = Counter()
        for key, (count, _, _) in self._shapes.troubles.items():
            found[address_in(key)] += count[0]
        found.update(failed_logins(self._shapes.logins))
        return found

    def settle(self, history: History, most: int | None = None) -> None:
        """Record in `history` the `most` peers that fail most often (None: all), and those that it has already."""
        chosen = {ip.encode() for ip in history.peers}
        chosen.update(ip for ip, _ in self.failing().most_common(most))
        self.settle_these(history, chosen)

    def settle_these(self, history: History, chosen: Collection[bytes]) -> None:
        """Record these addresses in `history`."""
        self.settle_failures(history, chosen)
        self.settle_successes(history, chosen)

    def understand(self, chosen: frozenset[bytes]) -> None:
        """Work out what failed of these addresses, and count all others, before any of it is to be recorded.

        A skim does that while another process still reads; what it records later are sessions of these addresses.
        """
        theirs, said, others = self._logins.parted(chosen)
        self._understood = chosen, self._read_troubles(chosen), list(self._to_sessions(theirs))
        self._choose(chosen)
        if self._settled == chosen:
            self._others = said, others
        self.totals()
        self.peers()

    def settle_failures(self, history: History, chosen: Collection[bytes]) -> None:
        """Record what failed of these addresses, and their logins."""
        if self._understood is not None and self._understood[0] == chosen:
            _, troubles, logins = self._understood
        else:
            troubles, logins = self._read_troubles(chosen), list(self._login_sessions(chosen))
        _settle_troubles(history, troubles)
        self._record(history, logins)
        self._choose(chosen)

    def settle_successes(self, history: History, chosen: Collection[bytes]) -> None:
        """Record what succeeded, and plaintext sessions."""
        self._record(history, chain(self._established(chosen), self._ended(chosen)))
        self._choose(chosen)

    def _choose(self, chosen: Collection[bytes]) -> None:
        if not self._settled.issuperset(chosen):
            self._settled.update(chosen)
            self._totals = self._others = self._peers = None

    def _record(self, history: History, rows: Iterable[_Counted]) -> None:
        for session, count, last in rows:
            history.record(session, count, last)

    def _read_troubles(self, chosen: Collection[bytes]) -> list[_Trouble]:
        """The failures of these addresses, with the exact times of all of them: bursts and rhythms show in those."""
        found = []
        for key, (counts, stamps, _) in self._shapes.troubles.items():
            if counts[0] > 0 and address_in(key) in chosen:
                read = map(self._calendar.read, stamps)
                found.append((list(self._troubles(only=key)), [moment for moment in read if moment is not None]))
        return found

    # --- what is left ----------------------------------------------------------------------------------------

    def rows(self) -> Iterator[tuple[str, str | None, Verdict, Tally]]:
        """Yield the verdicts of all peers that were not settled."""
        alike: dict[tuple[str, str | None, Verdict], Tally] = {}
        for session, count, last in chain(self._troubles(), self._login_sessions(self._other_logins()[1])):
            if session.peer is not None:
                key = (session.peer.ip, session.peer.name, verdict_of(session))
                alike.setdefault(key, Tally()).add(count, session.at, last)
        for (ip, name, verdict), tally in alike.items():
            yield ip, name, verdict, tally
        alike.clear()
        for session, count, last in chain(self._established(None, by_mail=False), self._ended_alike()):
            if session.peer is not None:
                yield session.peer.ip, session.peer.name, verdict_of(session), Tally(count, session.at, last)

    def _ended_alike(self) -> Iterator[_Counted]:
        """Plaintext sessions of a client are one row, whatever their statistics."""
        plain: dict[bytes, Row] = {}
        for key, row in self._shapes.ended.items():
            if row[0] <= 0 or not self._wanted(address_in(key), None):
                continue
            if b" starttls=" in key or b" commands=0/0" in key:
                yield from self._end(key, row)
                continue
            who = key[: key.find(b"]") + 1]
            known = plain.get(who)
            if known is None:
                plain[who] = [*row[:4], key]
            else:
                known[0] += row[0]
                known[1] = min(known[1], row[1])
                known[2] = max(known[2], row[2])
        for row in plain.values():
            yield from self._end(row[4], row)

    def totals(self) -> Counter[Total]:
        """Count the sessions of peers that were not settled: by service, outcome, cause, reason, version and cipher."""
        if self._totals is None:
            self._totals = self._add_up()
        return self._totals

    def _add_up(self) -> Counter[Total]:
        found: Counter[Total] = Counter()
        service = self._program.service
        for key, row in self._shapes.established.items():
            if row[0] > 0 and address_in(key) not in self._settled:
                version, cipher = self._suite(key)
                found[service, Outcome.TLS_OK, Cause.NONE, None, version, cipher] += row[0]
        for key, row in self._shapes.ended.items():
            if (
                row[0] > 0
                and b" starttls=" not in key
                and address_in(key) not in self._settled
                and b" commands=0/0" not in key
            ):
                found[service, Outcome.NO_STARTTLS, Cause.NONE, None, None, None] += row[0]
        for login, count in self._other_logins()[0]:
            if login.outcome is not None:
                reason = login.reason if login.outcome in FAILED else None
                suite = login.tls_version, login.cipher
                found[login.service, login.outcome, login.cause, reason, *suite] += count
        for session, count, _ in chain(self._alike_troubles(), self._without_suite()):
            v = verdict_of(session)
            found[v.service, v.outcome, v.cause, v.reason, v.tls_version, v.cipher] += count
        return found

    def peers(self) -> int:
        """Count the addresses that were not settled."""
        if self._peers is None:
            shapes = self._shapes
            found = {address_in(key) for rows in (shapes.established, shapes.ended, shapes.troubles) for key in rows}
            self._peers = len((found | self._other_logins()[1]) - self._settled)
        return self._peers

    # --- rows to sessions ------------------------------------------------------------------------------------

    def _wanted(self, ip: bytes, chosen: Collection[bytes] | None) -> bool:
        return ip in chosen if chosen is not None else ip not in self._settled

    def _established(self, chosen: Collection[bytes] | None, *, by_mail: bool = True) -> Iterator[_Counted]:
        for key, (count, first, last, mails, _) in self._shapes.established.items():
            if count > 0 and self._wanted(address_in(key), chosen):
                version, cipher = self._suite(key)
                session = Session(
                    self._moment(first, 0), _peer(key[32:]), self._program.service, self._program.door,
                    Outcome.TLS_OK, Cause.NONE, tls_version=version, cipher=cipher,
                )  # fmt: skip
                mails = mails if by_mail else 0
                if count > mails:
                    yield session, count - mails, self._moment(last, 1)
                if mails:
                    yield replace(session, delivered=True), mails, self._moment(last, 1)

    def _suite(self, key: bytes) -> tuple[str | None, str | None]:
        """Version and cipher; the text behind the client is one of few, and read once."""
        tail = key[key.find(b"]") :]
        found = self._suites.get(tail)
        if found is None:
            session = OpenSession(b"a[::1]", b"")
            evidence = read_smtpd(b"TLS connection established from a[::1" + tail)
            if evidence is not None:
                session.note(evidence, b"")
            decided = conclude(session, self._program, self._calendar, broken=False, whole=True)
            found = (decided.tls_version, decided.cipher) if decided else (None, None)
            if len(self._suites) < 10_000:
                self._suites[tail] = found
        return found

    def _ended(self, chosen: Collection[bytes] | None) -> Iterator[_Counted]:
        for key, row in self._shapes.ended.items():
            if row[0] > 0 and self._wanted(address_in(key), chosen):
                yield from self._end(key, row)

    def _without_suite(self) -> Iterator[_Counted]:
        """Successes that only the statistics prove (smtpd_tls_loglevel = 0)."""
        for key, row in self._shapes.ended.items():
            if row[0] > 0 and b" starttls=" in key and self._wanted(address_in(key), None):
                yield from self._end(key, row)

    def _end(self, key: bytes, row: Row) -> Iterator[_Counted]:
        who, _, commands = key[16:].partition(b" ")
        session = OpenSession(who, b"")
        session.note(Evidence(Kind.DISCONNECT, who, commands), b"")
        decided = conclude(session, self._program, self._calendar, broken=False, whole=True)
        if decided is not None:
            yield replace(decided, at=self._moment(row[1], 0)), row[0], self._moment(row[2], 1)

    def _troubles(self, *, only: bytes | None = None) -> Iterator[_Counted]:
        troubles = self._shapes.troubles
        for key, (counts, stamps, lines) in troubles.items() if only is None else [(only, troubles[only])]:
            if counts[0] <= 0 or (only is None and not self._wanted(address_in(key), None)):
                continue
            assembler = Assembler(self._calendar)
            done = [session for line in lines for session in assembler.feed(line)]
            last = self._calendar.read(stamps[-1]) if stamps else None
            for session in done + assembler.finish():
                yield session, counts[0], last

    def _alike_troubles(self) -> Iterator[_Counted]:
        """The troubles of peers that were not settled; those that differ only in the peer are decided once."""
        alike: dict[bytes, bytes] = {}
        counts: Counter[bytes] = Counter()
        for key, (count, _, _) in self._shapes.troubles.items():
            if count[0] > 0 and self._wanted(address_in(key), None):
                kind = _anonymous(key)
                alike.setdefault(kind, key)
                counts[kind] += count[0]
        for kind, key in alike.items():
            for session, _, last in self._troubles(only=key):
                yield session, counts[kind], last

    def _login_sessions(self, chosen: Collection[bytes]) -> Iterator[_Counted]:
        return self._to_sessions(self._logins.of(chosen))

    def _to_sessions(self, logins: Iterable[tuple[bytes, LoginLine, Row]]) -> Iterator[_Counted]:
        for ip, login, (count, first, last, *_) in logins:
            if login.outcome is not None:
                name = canonical_ip(printable(ip.removeprefix(b"::ffff:"), 64))
                yield (
                    Session(
                        self._moment(first, 0), Peer(name), login.service, self._program.door, login.outcome,
                        login.cause, login.reason, login.reason_number, login.tls_version, login.cipher,
                    ),
                    count,
                    self._moment(last, 1),
                )  # fmt: skip

    def _other_logins(self) -> tuple[list[tuple[LoginLine, int]], set[bytes]]:
        """What was said at logins of peers that were not settled, and who they are."""
        if self._others is None:
            self._others = self._logins.without(self._settled)
        return self._others

    def _moment(self, block: int, side: int) -> datetime | None:
        return self._calendar.read(self._shapes.stamps[block][side])


_PLAINTEXT: Total = (Service.SMTPD, Outcome.NO_STARTTLS, Cause.NONE, None, None, None)


class Successes:
    """Successful and plaintext sessions of peers that a skim did not follow, of all services together."""

    def __init__(self, skim: Skim) -> None:
        self._counted: Counter[Total] = Counter()
        for words, number in skim.suites.items():
            version, _, cipher = words.decode("ascii", "replace").partition(" with cipher ")
            if cipher:
                self._counted[Service.SMTPD, Outcome.TLS_OK, Cause.NONE, None, version, cipher] += number
        self._counted[_PLAINTEXT] += skim.plain
        for shapes in skim.lanes.values():
            self._without_followed(shapes)

    def _without_followed(self, shapes: Shapes) -> None:
        for text, row in shapes.established.items():
            suite = SUITE.search(text)
            if suite is not None:
                version, cipher = suite[1].decode(), suite[2].decode("ascii", "replace")
                self._counted[Service.SMTPD, Outcome.TLS_OK, Cause.NONE, None, version, cipher] -= row[0]
        if Program(shapes.host_and_tag.rsplit(b" ", 1)[-1]).service is not Service.SMTPS:
            self._counted[_PLAINTEXT] -= sum(row[0] for row in shapes.ended.values())

    def rows(self) -> Iterator[tuple[str, str | None, Verdict, Tally]]:
        """Nothing: who they were is not kept."""
        return iter(())

    def totals(self) -> Counter[Total]:
        """Count their sessions."""
        return +self._counted

    def peers(self) -> int:
        """Not known."""
        return 0


def _settle_troubles(history: History, troubles: list[_Trouble]) -> None:
    times = {name: list(peer.failed_at) for name, peer in history.peers.items()}
    for sessions, moments in troubles:
        for session, count, last in sessions:
            history.record(session, count, last)
            if session.peer is not None and session.outcome in FAILED:
                times.setdefault(session.peer.ip, []).extend(moments)
    for name, found in times.items():
        if name in history.peers:
            history.peers[name].failed_at = sorted(found)[:TIMES_PER_PEER]


def _anonymous(key: bytes) -> bytes:
    """The key without the client: what stands between ` from ` and the `]` of its address, in each message."""
    end = key.find(b"]") + 1
    start = key.rfind(b" ", 0, end) + 1
    return key.replace(key[start:end], b"") if 0 < start < end else key


def _peer(who: bytes) -> Peer:
    start = who.find(b"[")
    return Peer(canonical_ip(printable(address_in(who), 64)), printable(who[:start], 255) or None)
