"""The session assembler: puts sessions together from interleaved lines.

smtpd serves one session at a time (master/single_server.c), so the lines of one process, taken in order, are its
sessions one after the other; OpenSSL's reason stands on a line without an address and belongs to the session of its
process. tlsproxy serves many clients at once: its sessions are told apart by `[address]:port`, and OpenSSL's line
belongs to the line right behind it. Dovecot says everything in one line.

What it promises: no peer is ever charged with what another one did. Where lines are missing (rotation, rate limits,
a killed process, a pid that is used again) the session counts only if the lines that are left prove the outcome; a
reason that might be another session's is dropped.

SECURITY: at most `PROCESSES` processes and `ENDPOINTS` tlsproxy clients are remembered, the longest idle is
finished first; lines kept as proof are cut. Nothing that a line says raises.
"""

from __future__ import annotations

from collections.abc import Callable

from mailtls.core.cause import Cause, Outcome, Service
from mailtls.core.dovecotlog import login_service, read_login
from mailtls.core.evidence import Evidence, Kind
from mailtls.core.history import STATEMENTS, Lines, Statement, StatementKind
from mailtls.core.logins import Logins
from mailtls.core.logline import LogLine, split
from mailtls.core.marker import has_marker
from mailtls.core.postfixlog import Program, read_postscreen, read_smtpd, read_tlsproxy
from mailtls.core.printable import printable
from mailtls.core.process import Process
from mailtls.core.session import Session
from mailtls.core.sessionstate import OpenSession, conclude, server_statement
from mailtls.core.stamp import Calendar

PROCESSES = 20_000
ENDPOINTS = 5_000
_PROGRAMS = 4096


class Assembler:
    """Feed it lines in the order of the log; it yields finished sessions.

    `mid_log`: the lines do not begin where the log does, and what was open there is known: a process that is not
    known has no session whose beginning is missing (`openstate`).
    """

    def __init__(self, calendar: Calendar, *, mid_log: bool = False) -> None:
        self.calendar = calendar
        self.mid_log = mid_log
        self.lines = Lines()
        self.statements: list[Statement] = []
        self._processes: dict[bytes, Process] = {}
        self._programs: dict[bytes, Program] = {}
        self._logins = Logins()

    def feed(self, raw: bytes) -> list[Session]:
        """Take one line without its line end; return the sessions that it finished."""
        self.lines.read += 1
        line = split(raw)
        done: list[Session] = []
        if line is None:
            self._count(raw, understood=False)
            return done
        program = self._program(line.tag)
        if program.retold:
            self.lines.ignored += 1
            return done
        reader = _READERS.get(program.name)
        if reader is not None:
            understood = reader(self, line, raw, done)
        elif program.name == b"smtp":
            self.lines.ignored += 1  # outbound: never a verdict for a client
            return done
        else:
            understood = self._login(line, raw, done)
        self._count(raw, understood)
        return done

    def finish(self) -> list[Session]:
        """Say that the log ends here; return what its lines prove about sessions that are still open."""
        done: list[Session] = []
        for process in self._processes.values():
            self._close_process(process, done)
        self._processes.clear()
        return done

    def take_statements(self) -> list[Statement]:
        """Give what the server said of itself since this was asked last."""
        statements, self.statements = self.statements, []
        return statements

    # --- for `openstate` -------------------------------------------------------------------------------------

    def processes(self) -> dict[bytes, Process]:
        """The processes that are remembered, by `host tag[pid]`."""
        return self._processes

    def open_process(self, source: bytes, tag: bytes) -> Process:
        """Begin to remember a process."""
        process = self._processes[source] = Process(tag, self._program(tag))
        process.spoken = self.mid_log
        return process

    def logins_open(self) -> tuple[dict[bytes, bytes], tuple[bytes, bytes] | None]:
        """First lines of Dovecot's pairs whose second is still to come."""
        return self._logins.stacked, self._logins.init_failed

    def reopen_logins(self, stacked: dict[bytes, bytes], init_failed: tuple[bytes, bytes] | None) -> None:
        """Take such first lines back."""
        self._logins.stacked, self._logins.init_failed = stacked, init_failed

    def _count(self, raw: bytes, understood: bool) -> None:
        if understood:
            self.lines.understood += 1
        elif has_marker(raw):
            self.lines.unknown += 1
        else:
            self.lines.ignored += 1

    def _program(self, tag: bytes) -> Program:
        program = self._programs.get(tag)
        if program is None:
            if len(self._programs) >= _PROGRAMS:
                self._programs.clear()
            program = self._programs[tag] = Program(tag)
        return program

    # --- smtpd -----------------------------------------------------------------------------------------------

    def _smtpd(self, line: LogLine, raw: bytes, done: list[Session]) -> bool:
        evidence = read_smtpd(line.message)
        if evidence is None:
            if line.message.startswith(b"fatal: ") and (b"TLS" in line.message or b"cipher" in line.message):
                self._state(StatementKind.OTHER, line, raw)
                return True
            return False
        process = self._process(line, done)
        kind = evidence.kind
        if kind is Kind.PLAIN_PORT_HELLO:
            done.append(self._plain_port_hello(evidence, process.program, line, raw))
        elif kind in (Kind.STATEMENT, Kind.PRELUDE):
            self._server_says(process, evidence, line, raw)
        elif kind is Kind.LIBRARY:
            self._library(process, evidence, line, raw, done)
        else:
            self._emit_statement(process, done)
            self._of_session(line.source, process, evidence, line, raw, done)
        return True

    def _process(self, line: LogLine, done: list[Session]) -> Process:
        process = self._processes.get(line.source)
        if process is None:
            process = self.open_process(line.source, line.tag)
            if len(self._processes) > PROCESSES:
                self._close_process(self._processes.pop(next(iter(self._processes))), done)
        return process

    def _server_says(self, process: Process, evidence: Evidence, line: LogLine, raw: bytes) -> None:
        """Keep a statement until the lines that give its reason have passed."""
        if evidence.kind is Kind.PRELUDE:
            process.prelude = evidence.text
            if not evidence.text.startswith(b"error opening chain file"):
                return  # tells the reason of the statement behind it; a missing chain file may have none behind it
        if (
            process.statement is None
            and process.broken is not None
            and process.session is None
            and line.source[-2:] != b"[]"
        ):
            return  # said before by this process
        if process.statement is None:
            process.statement = OpenSession(b"", line.stamp)
            process.statement.fault = evidence.text
            process.statement.prelude = process.prelude
            process.prelude = None
        process.statement.add_line(raw)

    def _library(self, process: Process, evidence: Evidence, line: LogLine, raw: bytes, done: list[Session]) -> None:
        if process.session is not None and process.session.has_no_reason_to_come:
            self._close_session(process, done)  # the line is of a session whose other lines are missing
        session = process.statement or process.session
        if session is None:
            session = process.session = OpenSession(b"", line.stamp)
            session.is_first = not process.spoken
        process.spoken = True
        if session.foreign_reason and not session.has_evidence:
            session.foreign_reason = False  # out of order: it may be the session's before, whose reason is missing
            return
        session.add_library(evidence.text, line.stamp)
        session.add_line(raw)

    def _emit_statement(self, process: Process, done: list[Session]) -> None:
        if process.statement is not None:
            session = server_statement(process.statement, process.program, self.calendar)
            process.broken = session.reason or ""
            process.statement = None
            done.append(session)

    def _of_session(
        self,
        source: bytes,
        process: Process,
        evidence: Evidence,
        line: LogLine,
        raw: bytes,
        done: list[Session],
    ) -> None:
        """Everything that tells of one client's session."""
        if evidence.kind is Kind.CONNECT:
            open_session = process.session
            if open_session is not None and open_session.begins_late(evidence.who, line.stamp):
                open_session.begun = True
                return
            foreign = open_session is not None and open_session.awaits_reason
            self._close_session(process, done)
            process.spoken = True
            process.prelude = None
            process.session = OpenSession(evidence.who, line.stamp, begun=True)
            process.session.foreign_reason = foreign
            process.session.add_line(raw)
            self._processes.pop(source, None)  # to the end: the front is the longest idle
            self._processes[source] = process
            return
        session = self._session_of(process, evidence, line, done)
        process.spoken = True
        session.note(evidence, line.stamp)
        session.add_line(raw)
        if evidence.kind is Kind.DISCONNECT:
            self._close_session(process, done, whole=True)

    def _session_of(self, process: Process, evidence: Evidence, line: LogLine, done: list[Session]) -> OpenSession:
        """Find the open session that this evidence belongs to, or open one: its beginning is not in the log."""
        session = process.session
        if session is not None and evidence.who and not session.is_of(evidence.who):
            ends = evidence.kind in (Kind.LOST, Kind.DISCONNECT)
            if not session.who and ends and session.is_first:
                session.who = evidence.who  # the log begins within this session
            elif session.who and not session.has_evidence:
                session.who = evidence.who  # XCLIENT: the proxy connected, the client is named now
            else:
                if ends and session.who:
                    session.doubt_library()
                self._close_session(process, done)
        elif session is not None and session.is_over_before(evidence.kind):
            self._close_session(process, done)  # the lines between were filtered out (grep) or lost
        if process.session is None:
            process.session = OpenSession(evidence.who, line.stamp)
            process.session.is_first = not process.spoken
        return process.session

    def _close_session(self, process: Process, done: list[Session], *, whole: bool = False) -> None:
        session, process.session = process.session, None
        if session is not None:
            finished = conclude(session, process.program, self.calendar, broken=process.broken is not None, whole=whole)
            if finished is not None:
                done.append(finished)

    def _close_process(self, process: Process, done: list[Session]) -> None:
        self._emit_statement(process, done)
        self._close_session(process, done)
        for endpoint in list(process.endpoints):
            self._close_endpoint(process, endpoint, done)

    def _plain_port_hello(self, evidence: Evidence, program: Program, line: LogLine, raw: bytes) -> Session:
        who = OpenSession(evidence.who, line.stamp)
        return Session(
            self.calendar.read(line.stamp) if line.stamp else None,
            who.peer(named=program.service is not Service.POSTSCREEN),
            program.service,
            program.door,
            Outcome.NO_STARTTLS,
            Cause.TLS_ON_PLAIN_PORT,
            lines=(printable(raw),),
        )

    # --- postscreen, tlsproxy, master, lmtp ------------------------------------------------------------------

    def _postscreen(self, line: LogLine, raw: bytes, done: list[Session]) -> bool:
        evidence = read_postscreen(line.message)
        if evidence is not None:
            done.append(self._plain_port_hello(evidence, self._program(line.tag), line, raw))
        return evidence is not None

    def _tlsproxy(self, line: LogLine, raw: bytes, done: list[Session]) -> bool:
        evidence = read_tlsproxy(line.message)
        if evidence is None:
            known = self._processes.get(line.source)
            if known is not None:
                known.library = None
            return False
        process = self._process(line, done)
        library, process.library = process.library, None
        kind = evidence.kind
        if kind in (Kind.STATEMENT, Kind.PRELUDE):
            self._server_says(process, evidence, line, raw)
        elif kind is Kind.LIBRARY:
            if process.statement is not None:
                self._library(process, evidence, line, raw, done)
            else:
                process.library = evidence.text
        elif evidence.who:
            self._emit_statement(process, done)
            self._of_endpoint(process, evidence, library, line, raw, done)
        return True

    def _of_endpoint(
        self,
        process: Process,
        evidence: Evidence,
        library: bytes | None,
        line: LogLine,
        raw: bytes,
        done: list[Session],
    ) -> None:
        who, kind = evidence.who, evidence.kind
        if kind is Kind.PROXY_CONNECT:
            self._close_endpoint(process, who, done)
        session = process.endpoints.get(who)
        if session is None:
            session = process.endpoints[who] = OpenSession(who, line.stamp, begun=kind is Kind.PROXY_CONNECT)
            if len(process.endpoints) > ENDPOINTS:
                self._close_endpoint(process, next(iter(process.endpoints)), done)
        if library is not None and kind in (Kind.PROXY_FAILED, Kind.PROXY_DISCONNECT):
            session.add_library(library, line.stamp)
            if kind is Kind.PROXY_FAILED:
                process.says_failed = True  # 3.4 or later: its silence means that nothing failed
            elif not process.says_failed:
                session.failed = session.failed or session.failed_without_saying
        session.note(evidence, line.stamp)
        session.add_line(raw)
        if kind is Kind.PROXY_DISCONNECT:
            self._close_endpoint(process, who, done)

    def _close_endpoint(self, process: Process, who: bytes, done: list[Session]) -> None:
        session = process.endpoints.pop(who, None)
        if session is not None:
            finished = conclude(session, process.program, self.calendar, broken=process.broken is not None, whole=True)
            if finished is not None:
                done.append(finished)

    def _master(self, line: LogLine, raw: bytes, done: list[Session]) -> bool:
        """`warning: process PATH pid N killed by signal S` (master/master_spawn.c): that process speaks no more."""
        if b" killed by signal " not in line.message and b" exit status " not in line.message:
            return False
        words = line.message.split(b" ", 6)
        if b"pid" not in words:
            return False
        host = line.source.split(b" ", 1)[0]
        tail = b"[%b]" % words[words.index(b"pid") + 1] if words.index(b"pid") + 1 < len(words) else b"[]"
        for source in [s for s in self._processes if s.endswith(tail) and s.split(b" ", 1)[0] == host]:
            self._close_process(self._processes.pop(source), done)
        return False

    def _lmtp(self, line: LogLine, raw: bytes, done: list[Session]) -> bool:
        if b"while receiving the initial server greeting" in line.message:
            self._state(StatementKind.LMTP_GREETING, line, raw)
        elif line.tag == b"lmtp":  # Dovecot's, in its own log file
            self._dovecot_dies(line, raw)
        return False

    # --- Dovecot ---------------------------------------------------------------------------------------------

    def _login(self, line: LogLine, raw: bytes, done: list[Session]) -> bool:
        found = login_service(line.tag, line.message)
        if found is None:
            if line.tag == b"dovecot" or line.tag.startswith((b"doveconf", b"lmtp")):
                self._dovecot_dies(line, raw)
            return False
        service, message = found
        login = read_login(service, message)
        if login is None:
            if b"Fatal: " in message[:10]:
                self._state(StatementKind.DOVECOT_FATAL, line, raw)
            return False
        if login.fatal:
            self._state(StatementKind.DOVECOT_FATAL, line, raw)
        done.extend(self._logins.sessions(login, line, raw, self._program(line.tag), self.calendar))
        return True

    def _dovecot_dies(self, line: LogLine, raw: bytes) -> None:
        head = line.message[:120]
        if b"Fatal: " in head or b"command startup failed" in head or b"Error reading configuration" in head:
            self._state(StatementKind.DOVECOT_FATAL, line, raw)

    def _state(self, kind: StatementKind, line: LogLine, raw: bytes) -> None:
        if len(self.statements) < STATEMENTS:
            at = self.calendar.read(line.stamp) if line.stamp else None
            self.statements.append(Statement(at, kind, printable(line.message), printable(raw)))


_READERS: dict[bytes, Callable[[Assembler, LogLine, bytes, list[Session]], bool]] = {
    b"smtpd": Assembler._smtpd,
    b"": Assembler._smtpd,  # the web table names no program
    b"postscreen": Assembler._postscreen,
    b"tlsproxy": Assembler._tlsproxy,
    b"master": Assembler._master,
    b"lmtp": Assembler._lmtp,
}
