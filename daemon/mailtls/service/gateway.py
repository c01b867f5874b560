"""The gateway: ends TLS with NSS for waived peers that no OpenSSL serves, and hands plain SMTP to Postfix.

A session has two parts. In clear the dialogue (core/gatewaydialogue.py) takes turns between client and Postfix. With
STARTTLS the connection to Postfix is dropped, TLS begun, Postfix connected to anew, its greeting swallowed, and from
then on bytes are passed on both ways, as fast as the slower side takes them.

Postfix learns the true client from a PROXY header, and decides everything itself: what is not taken is refused in its
words. Where Postfix does not answer the client gets a 421 and keeps its mail.

SECURITY: this process holds a key of its own, reaches one socket of Postfix, and has no network: the connections of
its clients come from sockets that systemd passed. Everything is bounded: sessions, sessions of one address, time.
A few sessions are kept for this machine itself, so that the keeper, whose visit decides whether the door is open for
anybody, does not take a gateway that serves all it may for a dead one.
DIAGNOSTICS: as tlsproxy's lines, so that the watcher reads them; see core/nssreason.py. Behind DISCONNECT stands how
many messages Postfix took: what Postfix says of the same session is left aside, so that it counts once.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from mailtls.core.acceptedmail import AcceptedMail
from mailtls.core.gatewaydialogue import (
    UNAVAILABLE,
    Action,
    GatewayDialogue,
    ToClient,
    ToPostfix,
    Turn,
    is_whole_reply,
)
from mailtls.core.gatewayrule import GatewaySettings, Terms
from mailtls.core.nssreason import library_line
from mailtls.core.peer import canonical_ip
from mailtls.core.proxyheader import Place, proxy_header
from mailtls.core.waivedterms import WaivedTerms
from mailtls.edge.gatewaystream import ClearStream, Stream, TlsStream, connected
from mailtls.edge.nss import Agreed, Engine, TlsError

BUSY = b"421 4.7.0 Error: too many connections, try again later\r\n"
SMTP = 25  # where the client believes that it is
HANDSHAKE_S = 60.0
IDLE_S = 330.0  # a little longer than Postfix's own smtpd_timeout, so that it is Postfix who speaks
LINGER_S = 2.0  # for Postfix's last answer after the client has ended
GREETING = 4096  # bytes of Postfix's second greeting
FOR_VISITS = 4  # sessions above the limit that only this machine itself may have

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds; tests take shorter ones."""

    handshake: float = HANDSHAKE_S
    idle: float = IDLE_S
    linger: float = LINGER_S


class Gateway:
    """Serves connections. `tell` writes one line to the mail log; `waived` gives what waivers say of single peers."""

    def __init__(
        self, engine: Engine, settings: GatewaySettings, tell: Tell, times: Times = Times(),
        waived: Callable[[], WaivedTerms] = WaivedTerms,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._waived = waived
        self._settings = settings
        self._tell = tell
        self._times = times
        self._present: Counter[str] = Counter()
        self._sessions: set[asyncio.Task[None]] = set()

    async def run(self, listening: Iterable[socket.socket]) -> None:
        """Serve until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for each in listening:
                    each.setblocking(False)
                    group.create_task(self._accept(each))
        finally:
            for session in self._sessions:
                session.cancel()
            await asyncio.gather(*self._sessions, return_exceptions=True)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError:  # gone already, or no descriptors left
                await asyncio.sleep(0.1)
                continue
            session = asyncio.create_task(self._guarded(connection))
            self._sessions.add(session)
            session.add_done_callback(self._sessions.discard)

    async def _guarded(self, connection: socket.socket) -> None:
        """Serve one connection within the limits, and close it whatever happens."""
        stream = ClearStream(connection)
        try:
            client, server = _place(connection.getpeername()), _place(connection.getsockname())
        except OSError:
            stream.close()
            return
        if self._is_full_for(client[0], server[0]):
            self._tell(f"warning: too many connections: {_spelled(client)} was sent away")
            with suppress(OSError):
                connection.send(BUSY)
            stream.close()
            return
        self._present[client[0]] += 1
        try:
            terms = self._settings.terms_of(client[0], server[0], self._waived().peers)
            await _Session(self._engine, self._settings, terms, self._tell, self._times, client, server).serve(stream)
        except (OSError, TimeoutError):
            pass  # the other side's affair
        finally:
            stream.close()
            self._present[client[0]] -= 1
            if not self._present[client[0]]:
                del self._present[client[0]]

    def _is_full_for(self, ip: str, called: str) -> bool:
        """Tell whether an address that called this one is to be sent away. Who calls itself is on this machine."""
        limit = self._settings.sessions + (FOR_VISITS if ip == called else 0)
        return self._present.total() >= limit or self._present[ip] >= self._settings.per_address


@dataclass(slots=True)
class _Session:
    engine: Engine
    settings: GatewaySettings
    terms: Terms
    tell: Tell
    times: Times
    client: Place
    server: Place
    mail: AcceptedMail | None = None
    """What Postfix took; None while it could not be given any."""

    async def serve(self, clear: ClearStream) -> None:
        self.tell(f"CONNECT from {_spelled(self.client)}")
        try:
            if await self._in_clear(clear):
                await self._under_tls(clear)
        finally:
            taken = f" data={self.mail.count}" if self.mail is not None else ""
            self.tell(f"DISCONNECT {_spelled(self.client)}{taken}")

    async def _postfix(self) -> ClearStream | None:
        """Connect to Postfix and say who the client is; None where it does not answer."""
        try:
            postfix = await connected(self.settings.backend)
        except OSError as error:
            self.tell(f"warning: {self.settings.backend}: {(error.strerror or str(error)).lower()}")
            return None
        try:
            await postfix.write(proxy_header(self.client, (self.server[0], SMTP)))
        except OSError:
            postfix.close()
            return None
        return postfix

    # --- in clear ----------------------------------------------------------------------------------------------

    async def _in_clear(self, clear: ClearStream) -> bool:
        """Take turns until TLS is to begin (True), or the session is over."""
        postfix = await self._postfix()
        if postfix is None:
            await clear.write(UNAVAILABLE)
            return False
        try:
            dialogue = GatewayDialogue(self.settings.demand_tls)
            while True:
                async with asyncio.timeout(self.times.idle):
                    turn = await self._turn(dialogue, clear, postfix)
                if turn is Turn.PLAIN:
                    await self._pass_on(clear, postfix)
                if turn is not None:
                    return turn is Turn.START_TLS
        finally:
            postfix.close()

    async def _turn(self, dialogue: GatewayDialogue, clear: ClearStream, postfix: ClearStream) -> Turn | None:
        """Take in what the side says whose turn it is, until something follows, and do that."""
        actions: tuple[Action, ...] = ()
        while not actions:
            await asyncio.sleep(0)  # as in _pump
            if dialogue.wants_client:
                data = await clear.read()
                if not data:
                    return Turn.END
                actions = dialogue.from_client(data)
            else:
                actions = dialogue.from_postfix(await postfix.read())
        for action in actions:
            match action:
                case ToClient(data):
                    await clear.write(data)
                case ToPostfix(data):
                    await postfix.write(data)
                case turn:
                    return turn
        return None

    # --- under TLS ---------------------------------------------------------------------------------------------

    async def _under_tls(self, clear: ClearStream) -> None:
        try:
            secured = TlsStream(self.engine.session(clear.socket, self.terms.lowest, self.terms.ciphers))
        except TlsError as error:
            self._failed(error.word)
            return
        try:
            if await self._shake_hands(secured):
                await self._with_postfix(secured)
        except TlsError:
            pass  # the connection broke; Postfix has seen its end
        finally:
            secured.close()

    async def _shake_hands(self, secured: TlsStream) -> bool:
        try:
            async with asyncio.timeout(self.times.handshake):
                agreed = await secured.handshake()
        except TlsError as error:
            self._failed(error.word)
            return False
        except TimeoutError:
            self._failed("PR_CONNECT_RESET_ERROR")
            return False
        self.tell(_established(self.client, agreed))
        return True

    def _failed(self, word: str) -> None:
        line = library_line(word)
        if line is not None:
            self.tell(line)
        self.tell(f"TLS handshake failed for service=smtpd peer={_spelled(self.client)}")

    async def _with_postfix(self, secured: TlsStream) -> None:
        """Connect to Postfix anew, swallow its greeting, and pass on what is said."""
        postfix = await self._postfix()
        if postfix is None:
            await secured.write(UNAVAILABLE)
            return
        try:
            async with asyncio.timeout(self.times.idle):
                greeting = await _greeting(postfix)
            if greeting.startswith(b"220"):
                await self._pass_on(secured, postfix)
            else:
                await secured.write(greeting or UNAVAILABLE)
        finally:
            postfix.close()

    async def _pass_on(self, client: Stream, postfix: ClearStream) -> None:
        """Pass on both ways until Postfix ends, the client is gone, or both are silent for too long."""
        loop = asyncio.get_running_loop()
        mail = self.mail = AcceptedMail()
        async with asyncio.timeout(self.times.idle) as silence:

            def heard() -> None:
                silence.reschedule(loop.time() + self.times.idle)

            there = asyncio.create_task(_pump(client.read, postfix.write, heard))
            back = asyncio.create_task(_pump(postfix.read, client.write, heard, mail.feed))
            try:
                await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
                if not back.done():  # the client has ended: Postfix may still have an answer
                    postfix.end()
                    await asyncio.wait((back,), timeout=self.times.linger)
            finally:
                there.cancel()
                back.cancel()
                await asyncio.gather(there, back, return_exceptions=True)


async def _pump(
    read: Callable[[], Awaitable[bytes]],
    write: Callable[[bytes], Awaitable[None]],
    heard: Callable[[], None],
    look: Callable[[bytes], None] = lambda _: None,
) -> None:
    while data := await read():
        heard()
        look(data)
        await write(data)
        heard()
        await asyncio.sleep(0)  # where bytes are always there nothing above waits, and nobody else would have a turn


async def _greeting(postfix: ClearStream) -> bytes:
    """Read Postfix's greeting whole: one reply, of one or several lines."""
    greeting = b""
    while len(greeting) < GREETING and not is_whole_reply(greeting) and (data := await postfix.read()):
        greeting += data
    return greeting


def _established(client: Place, agreed: Agreed) -> str:
    """As tls/tls_misc.c:tls_log_summary writes it."""
    cipher = f"{agreed.version} with cipher {agreed.cipher} ({agreed.bits}/{agreed.bits} bits)"
    return f"Anonymous TLS connection established from {_spelled(client)}: {cipher}"


def _place(name: tuple[str, int]) -> Place:
    return canonical_ip(name[0]), name[1]


def _spelled(place: Place) -> str:
    return f"[{place[0]}]:{place[1]}"
