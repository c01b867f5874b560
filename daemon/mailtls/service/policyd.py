"""The policy service: answers Postfix's questions about messages, from one immutable snapshot and nothing else.

Postfix keeps its connections open and asks one question at a time on each (SMTPD_POLICY_README); whoever asks several
at once is answered in their order. A question that is none is answered DUNNO and counted. Facts of messages go to the
facts desk, after the answer is on its way; no answer ever waits for the database. Most questions are answered at a
glance (core/glance.py), and read by the desk, later, if at all.

Promises, whatever is sent: at most CONNECTIONS are served, each with one question in hand
(`delegation.LONGEST_REQUEST`); who does not read its answers, or lets a question stand half for PATIENCE_S, is dropped.
Postfix then acts as if nobody had asked (`default_action=DUNNO` in the entry that `setup` makes).

SECURITY: whoever reaches the socket can ask how this site treats a peer, and feed facts. Its mode lets Postfix's group
in; the TCP port, off by default, is for loopback only.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable, MutableMapping
from contextlib import suppress
from time import monotonic
from typing import cast

from mailtls.core.delegation import MALFORMED, Malformed, PolicyReader, written
from mailtls.core.glance import Glance
from mailtls.core.smtpfacts import SmtpFacts, Stage
from mailtls.core.verdict import DUNNO, Snapshot, Verdict, judge
from mailtls.errors import MailtlsError
from mailtls.service.messagemetrics import MessageMetrics

LOG = logging.getLogger("mailtls.policyd")
CONNECTIONS = 2_000  # Postfix opens one for each smtpd process, of which there are 100 by default
PATIENCE_S = 30.0  # for the rest of a question
IDLE_S = 1_200.0  # Postfix closes after max_idle = 300 s, and max_ttl = 1000 s (smtpd_policy_service_max_*)
UNREAD = 64 * 1024  # bytes of answers that may wait to be read
ROUND_S = 10.0
BUFFER = 64 * 1024
AGAIN_S = 15.0  # between attempts to listen
FAULT = "policy_service"

PASSED = written(DUNNO)
_DUNNO = DUNNO.answer.value
_DATA = Stage.DATA

Taker = Callable[[SmtpFacts, Verdict], None]


class PolicyService:
    """Answers at `sockets`. `snapshot` gives what verdicts go by now.

    `take` is told the facts and the verdict; `take_unread` gets a question at DATA that passed at a glance.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        take: Taker,
        take_unread: Callable[[bytes], None],
        metrics: MessageMetrics,
        sockets: Callable[[], Iterable[socket.socket]],
        faults: MutableMapping[str, str],
    ) -> None:
        self.snapshot = snapshot
        self.take = take
        self.take_unread = take_unread
        self.metrics = metrics
        self._sockets = sockets
        self._faults = faults
        self.buffer = memoryview(bytearray(BUFFER))
        """Shared by all connections: it is read empty before the loop does anything else."""
        self._glance = Glance(snapshot())
        self.served: set[_Connection] = set()
        self.turned_away = 0

    def glance(self) -> Glance:
        """Give the glance that goes by what verdicts go by now."""
        snapshot = self.snapshot()
        if self._glance.snapshot is not snapshot:
            self._glance = Glance(snapshot)
        return self._glance

    async def run(self) -> None:
        """Answer until cancelled; where nobody can listen, say so and try again."""
        loop = asyncio.get_running_loop()
        sockets = await self._open()
        servers = [await loop.create_server(lambda: _Connection(self), sock=each) for each in sockets]
        try:
            while True:
                await asyncio.sleep(ROUND_S)
                self._drop_idle(monotonic())
        finally:
            for server in servers:
                server.close()
            for connection in tuple(self.served):
                connection.drop()

    async def _open(self) -> list[socket.socket]:
        while True:
            try:
                sockets = list(self._sockets())
            except MailtlsError as error:
                if self._faults.get(FAULT) != str(error):
                    LOG.error("%s", error)  # noqa: TRY400  (a sentence)
                self._faults[FAULT] = str(error)
                await asyncio.sleep(AGAIN_S)
            else:
                self._faults.pop(FAULT, None)
                return sockets

    def _drop_idle(self, now: float) -> None:
        for connection in tuple(self.served):
            if now - connection.heard > (PATIENCE_S if connection.reader.pending else IDLE_S):
                connection.drop()


class _Connection(asyncio.BufferedProtocol):
    """One connection of Postfix."""

    def __init__(self, service: PolicyService) -> None:
        self._service = service
        self._transport: asyncio.Transport | None = None
        self.reader = PolicyReader()
        self.heard = monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # a stream's; uvloop's are of no class of asyncio's
        if len(self._service.served) >= CONNECTIONS:
            self._service.turned_away += 1
            if self._service.turned_away == 1:
                LOG.warning("%d connections of Postfix are open; more are turned away, unanswered", CONNECTIONS)
            transport.abort()
            return
        transport.set_write_buffer_limits(high=UNREAD)
        self._transport = transport
        self._service.served.add(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._service.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._transport is None:
            return
        service = self._service
        began = self.heard = monotonic()
        data = service.buffer[:nbytes].tobytes()
        stage = None if self.reader.pending else service.glance().passes(data)
        if stage is None:
            self._read(self._transport, data, began)
            return
        self._transport.write(PASSED)
        service.metrics.asked(_DUNNO, monotonic() - began)
        if stage is _DATA:
            service.take_unread(data)

    def _read(self, transport: asyncio.Transport, data: bytes, began: float) -> None:
        service = self._service
        snapshot, take, metrics = service.snapshot(), service.take, service.metrics
        answers, told = [], []
        for question in self.reader.feed(data):
            if isinstance(question, Malformed):
                metrics.malformed(question)
                answers.append(MALFORMED)
                continue
            verdict = judge(question, snapshot)
            answers.append(written(verdict))
            told.append((question, verdict))
        if not answers:
            return
        transport.write(answers[0] if len(answers) == 1 else b"".join(answers))
        taken = monotonic() - began
        for question, verdict in told:
            metrics.asked(verdict.answer, taken)
            take(question, verdict)

    def pause_writing(self) -> None:
        """Drop whoever asks and does not read."""
        self.drop()

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._service.served.discard(self)
        self._transport = None

    def drop(self) -> None:
        """Close, now."""
        if self._transport is not None:
            with suppress(OSError):
                self._transport.abort()
