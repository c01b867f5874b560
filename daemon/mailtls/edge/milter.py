"""Postfix's Milter protocol, spoken by pymilter over Debian's libmilter: events in, replies and header edits out.

libmilter runs a pool of threads of its own, and a connection is in one of them at a time; the callbacks below translate
and hold no logic. Which events Postfix sends is settled as each connection begins (`negotiate`); a step whose reply it
waits for costs a round trip, so that only DATA has one (RCPT too, where recipients are judged). The list of macros is
asked for with DATA alone: Postfix evaluates them when it sends them, and libmilter's limit of five is Sendmail's
(milter/milter8.c: "Secondary negotiations").

Promises: what goes wrong in here lets the message go on as if there were no milter.

SECURITY: actions that are not needed are given away at the negotiation: without a stamp this process cannot change a
message. BUGS: libmilter makes its socket itself, at a path; a socket of systemd's it cannot take.
"""

from __future__ import annotations

import os
import syslog
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from mailtls.core.milterdialogue import MACROS, Ending, Macro, Wishes
from mailtls.core.verdict import HEADER
from mailtls.errors import ConfigError, MailtlsError

PROGRAM = "mailtls-milter"
BACKLOG = 512
"""Connections that wait to be taken; Postfix has at most as many smtpd processes (default_process_limit 100)."""
IDLE_S = 1800
"""Without a word from Postfix, which itself gives up a client after 300 s."""

_GROUP_MAY_CONNECT = 0o007  # umask: the directory's group is Postfix's
_CHEAP = "j"
"""Asked for where no macro is needed: an empty list would mean Postfix's own, some of which cost a look-up."""
_UNREADABLE = "?"
_CHEAPLY = ("HELO", "ENVFROM", "ENVRCPT")

Reply = tuple[str, str, str]


class Connection(Protocol):
    """What hears one connection; see core/milterdialogue.py. A reply of None lets the message go on."""

    @property
    def wishes(self) -> Wishes:
        """What Postfix is asked for."""

    def hello(self, name: str) -> None:
        """Hear HELO."""

    def sender(self, words: Sequence[bytes]) -> None:
        """Hear MAIL."""

    def recipient(self, words: Sequence[bytes], macro: Macro) -> Reply | None:
        """Hear RCPT."""

    def data(self, macro: Macro) -> Reply | None:
        """Hear DATA."""

    def header(self, name: str, octets: int) -> None:
        """Hear of a header."""

    def body(self, octets: int) -> None:
        """Hear of a piece of the body."""

    def end(self) -> tuple[Reply | None, Ending]:
        """Hear that the message is whole."""


class MilterSocket:
    """Listens at `path` and gives each connection to one that `begin` makes."""

    def __init__(self, path: Path, begin: Callable[[], Connection]) -> None:
        self._path = path
        self._begin = begin
        self._library: Any = None

    def open(self) -> None:
        """Listen. Raises ConfigError where pymilter is missing, MailtlsError where nobody can listen there."""
        try:
            library = self._library = import_module("milter")
        except ImportError as error:
            raise ConfigError(f"pymilter is missing ({error}); apt-get install python3-milter") from error
        syslog.openlog(PROGRAM, syslog.LOG_PID, syslog.LOG_MAIL)  # libmilter's own words go there
        former = os.umask(_GROUP_MAY_CONNECT)
        try:
            self._register(library)
            library.opensocket(True)
        except library.error as error:
            raise MailtlsError(
                f"{self._path}: nobody can listen here ({error}); see who does, and whose the directory is: "
                f"ls -ld {self._path.parent}; systemd-tmpfiles --create mailtls.conf"
            ) from error
        finally:
            os.umask(former)

    def serve(self) -> None:
        """Serve until SIGTERM or SIGINT, which libmilter catches. Raises MailtlsError."""
        try:
            self._library.main()
        except self._library.error as error:
            raise MailtlsError(f"libmilter ended: {error}; systemctl restart {PROGRAM}") from error

    def _register(self, library: Any) -> None:
        calls = _Callbacks(library, self._begin)
        library.set_exception_policy(library.CONTINUE)
        library.set_helo_callback(calls.helo)
        library.set_envfrom_callback(calls.envfrom)
        library.set_envrcpt_callback(calls.envrcpt)
        library.set_header_callback(calls.header)
        library.set_body_callback(calls.body)
        library.set_eom_callback(calls.eom)
        library.set_flags(library.SETSYMLIST | library.ADDHDRS | library.CHGHDRS)
        library.setconn(f"unix:{self._path}")
        library.setbacklog(BACKLOG)
        library.settimeout(IDLE_S)
        library.register(PROGRAM, data=calls.data, unknown=None, negotiate=calls.negotiate)


class _Callbacks:
    """What libmilter calls; `context` is pymilter's object for one connection."""

    def __init__(self, library: Any, begin: Callable[[], Connection]) -> None:
        self._library = library
        self._begin = begin
        self._go_on: int = library.CONTINUE
        self._unanswered: int = library.NOREPLY
        self._terms: dict[Wishes, _Terms] = {}

    def negotiate(self, context: Any, options: list[int]) -> int:
        connection = self._begin()
        context.setpriv(connection)
        wishes = connection.wishes
        terms = self._terms.get(wishes)
        if terms is None:
            terms = self._terms[wishes] = _Terms(self._library, wishes)
        if options[0] & self._library.SETSYMLIST:
            for step, names in terms.macros:
                context.setsymlist(step, names)
        options[0] &= terms.actions
        options[1] &= terms.left_out
        options[2] = options[3] = 0
        return self._go_on

    def helo(self, context: Any, name: str) -> int:
        context.getpriv().hello(name)
        return self._unanswered

    def envfrom(self, context: Any, *words: bytes) -> int:
        context.getpriv().sender(words)
        return self._unanswered

    def envrcpt(self, context: Any, *words: bytes) -> int:
        return self._reply(context, context.getpriv().recipient(words, _macro(context)))

    def data(self, context: Any) -> int:
        connection = context.getpriv()
        try:
            reply = connection.data(context.getsymval)
        except UnicodeDecodeError:  # once in a blue moon: the wrapper would cost each message
            reply = connection.data(_macro(context))
        return self._reply(context, reply)

    def header(self, context: Any, name: str, value: bytes) -> int:
        context.getpriv().header(name, len(value))
        return self._unanswered

    def body(self, context: Any, piece: bytes) -> int:
        context.getpriv().body(len(piece))
        return self._unanswered

    def eom(self, context: Any) -> int:
        reply, ending = context.getpriv().end()
        if reply is None and (ending.remove or ending.stamp is not None):
            _edit(context, ending)
        return self._reply(context, reply)

    def _reply(self, context: Any, reply: Reply | None) -> int:
        if reply is None:
            return self._go_on
        code, enhanced, text = reply
        context.setreply(code, enhanced, text.replace("%", "%%"))  # a format, in Sendmail and so in Postfix
        return int(self._library.REJECT if code.startswith("5") else self._library.TEMPFAIL)


def _macro(context: Any) -> Macro:
    """Look macros up; what is no UTF-8 (a login may be any bytes) is there, and cannot be read."""

    def look_up(name: str) -> str | None:
        try:
            found: str | None = context.getsymval(name)
        except UnicodeDecodeError:
            return _UNREADABLE
        return found

    return look_up


class _Terms:
    """What is negotiated for these wishes.

    `left_out`: the steps that Postfix need not send, and those whose reply it need not wait for. `macros` by step.
    """

    def __init__(self, library: Any, wishes: Wishes) -> None:
        steps = library.P_NOCONNECT | library.P_NOEOH | library.P_NOUNKNOWN | library.P_NR_HELO | library.P_NR_MAIL
        steps |= 0 if wishes.recipients else library.P_NORCPT
        steps |= library.P_NR_HDR if wishes.headers or wishes.size else library.P_NOHDRS
        steps |= library.P_NR_BODY if wishes.size else library.P_NOBODY
        self.left_out: int = steps
        self.actions: int = library.SETSYMLIST | (library.ADDHDRS | library.CHGHDRS if wishes.headers else 0)
        names = dict.fromkeys(_CHEAPLY, _CHEAP) | {"DATA": " ".join(MACROS)}
        if wishes.recipients:
            names["ENVRCPT"] = names["DATA"]
        self.macros = [(getattr(library, f"M_{step}"), words) for step, words in names.items()]


def _edit(context: Any, ending: Ending) -> None:
    """Remove what bears the stamp's name, the last one first: those before it keep their numbers. Then stamp."""
    for number in range(ending.remove, 0, -1):
        context.chgheader(HEADER, number, None)
    if ending.stamp is not None:
        context.addheader(*ending.stamp, 0)
