"""The control socket: what mailtlsctl asks, answered in order on each connection.

It only answers: nothing is granted, withdrawn or changed here. Whoever the file's group lets in may ask.

Promises, whatever is sent: a request has at most LONGEST_REQUEST bytes and must be there within PATIENCE_S of the one
before; at most CONNECTIONS are served, SUBSCRIBERS of them with the live view, and LARGE questions whose answers may
have megabytes at a time; who does not read is dropped. Garbage is answered with one sentence; only a line that has no
end closes the connection. Who reads the live view slowly loses happenings and is told how many (the informant's queue),
and slows nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol, assert_never

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from mailtls import __version__
from mailtls.core.controlprotocol import (
    LONGEST_REPLY,
    LONGEST_REQUEST,
    QUESTION,
    Answer,
    AskExplain,
    AskFloor,
    AskHistory,
    AskInventory,
    AskPeers,
    AskStatus,
    AskWaivers,
    AskWatch,
    ExplainedKnownPeer,
    FloorForecast,
    Happening,
    Inventory,
    KnownPeer,
    PastStep,
    Question,
    Status,
)
from mailtls.core.keeperprotocol import LiveWaiver
from mailtls.core.printable import printable
from mailtls.edge.socketfile import SocketFile
from mailtls.errors import MailtlsError

LOG = logging.getLogger("mailtls.control")
CONNECTIONS = 32
SUBSCRIBERS = 16
LARGE = 2
PATIENCE_S = 60.0  # for the next request
ANSWER_S = 20.0  # for the informant to know
READ_S = 20.0  # for the other side to read an answer
STALLED_S = 600.0  # for a live view that nobody reads: a screen may be held for a while


class Informant(Protocol):
    """Who knows the answers. Every method may raise MailtlsError, whose sentence is told."""

    async def status(self) -> Status:
        """How mailtlsd fares."""

    async def peers(self, ask: AskPeers) -> tuple[KnownPeer, ...]:
        """Whom it knows."""

    async def explain(self, ask: AskExplain) -> tuple[ExplainedKnownPeer, ...]:
        """What it knows of somebody, and why it decided as it did."""

    async def waivers(self) -> tuple[LiveWaiver, ...]:
        """Which waivers stand."""

    async def history(self, ask: AskHistory) -> tuple[PastStep, ...]:
        """What was decided and done."""

    async def floor(self, ask: AskFloor) -> FloorForecast:
        """Who would be lost by a higher floor."""

    async def inventory(self, ask: AskInventory) -> Inventory:
        """What peers use."""

    def subscribe(self) -> AbstractAsyncContextManager[AsyncGenerator[Happening, None]]:
        """Everything as it happens; the queue behind it is bounded and says what it dropped."""


class Control:
    """Answers at `path` what `informant` knows; `admins`: the group that may ask beside root and mailtlsd's user."""

    def __init__(self, path: Path, informant: Informant, admins: str | None = None) -> None:
        self._informant = informant
        self._file = SocketFile(path, "mailtlsd", admins)
        self._served: set[asyncio.Task[None]] = set()
        self._subscribers = 0
        self._large = asyncio.Semaphore(LARGE)

    @property
    def connections(self) -> int:
        """Count those who are served."""
        return len(self._served)

    async def open(self) -> None:
        """Listen. Raises RefusedError where another mailtlsd listens, ConfigError where nobody could."""
        self._file.open()

    async def run(self) -> None:
        """Answer until cancelled; then everybody is let go and the socket is removed."""
        await self.open()
        server = await asyncio.start_unix_server(self._admit, sock=self._file.open(), limit=LONGEST_REQUEST)
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            for connection in self._served:
                connection.cancel()
            await asyncio.gather(*self._served, return_exceptions=True)
            self._file.close()

    async def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection; the server makes the task."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (a coroutine that runs has one)
        writer.transport.set_write_buffer_limits(high=0)  # drain() waits for the last byte
        too_many = len(self._served) >= CONNECTIONS
        self._served.add(task)
        try:
            if too_many:
                await _tell(writer, Answer(error=f"{CONNECTIONS} connections are open already; ask again later."))
            else:
                await self._serve(reader, writer)
        except (OSError, TimeoutError):
            LOG.debug("a connection to the control socket ended", exc_info=True)
        except asyncio.CancelledError:
            pass  # mailtlsd stops; the server's own callback would take it for a fault
        finally:
            self._served.discard(task)
            writer.transport.abort()  # what was told is in the kernel's hands; nothing is waited for

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (line := await _next_line(reader)) != b"":
            if line is None:
                error = f"A request has more than {LONGEST_REQUEST} bytes, or no line end; the connection is closed."
                await _tell(writer, Answer(error=error))
                return
            question = _read_question(line)
            match question:
                case Answer():
                    await _tell(writer, question)
                case AskWatch():
                    await self._watch(reader, writer)
                    return
                case AskPeers() | AskExplain() | AskHistory() | AskFloor() | AskInventory():
                    async with self._large:
                        await _tell(writer, await self._answer(question))
                case _:
                    await _tell(writer, await self._answer(question))

    async def _answer(self, question: Question) -> Answer:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._ask(question)
        except TimeoutError:
            return Answer(error=f"No answer was found within {ANSWER_S:g} s; ask for less, for example with --limit.")
        except MailtlsError as error:
            return Answer(error=str(error))

    async def _ask(self, question: Question) -> Answer:
        match question:
            case AskStatus():
                return Answer(status=await self._informant.status())
            case AskPeers():
                return Answer(peers=await self._informant.peers(question))
            case AskExplain():
                return Answer(explained=await self._informant.explain(question))
            case AskWaivers():
                return Answer(waivers=await self._informant.waivers())
            case AskHistory():
                return Answer(history=await self._informant.history(question))
            case AskFloor():
                return Answer(floor=await self._informant.floor(question))
            case AskInventory():
                return Answer(inventory=await self._informant.inventory(question))
            case AskWatch():
                raise RuntimeError("a live view is no single answer")
            case _:
                assert_never(question)

    # --- the live view ---------------------------------------------------------------------------------------

    async def _watch(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._subscribers >= SUBSCRIBERS:
            await _tell(writer, Answer(error=f"{SUBSCRIBERS} live views are open already; close one of them."))
            return
        self._subscribers += 1
        try:
            await _first_of(self._tell_happenings(writer), reader.read(1))
        finally:
            self._subscribers -= 1

    async def _tell_happenings(self, writer: asyncio.StreamWriter) -> None:
        async with self._informant.subscribe() as happenings:
            async for happening in happenings:
                await _tell(writer, Answer(happening=happening), STALLED_S)
                await asyncio.sleep(0)  # a long queue is told between other work


async def _first_of(*awaited: Awaitable[object]) -> None:
    """Wait until one is done, end the others, and raise what it raised: who closes a live view, or speaks, ends it."""
    tasks = [asyncio.ensure_future(each) for each in awaited]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _next_line(reader: asyncio.StreamReader) -> bytes | None:
    """Give one line, b"" at the end and for half a line before it, None for one without an end in sight."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError:
        return b""
    except asyncio.LimitOverrunError:
        return None


def _read_question(line: bytes) -> Question | Answer:
    """Give the question, or the sentence that answers garbage."""
    try:
        return QUESTION.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        what = printable(f"{where}: {first['msg']}" if where else first["msg"], 200)
        return Answer(
            error=f"This is no question that mailtlsd {__version__} knows ({what}); are mailtlsctl and mailtlsd of the "
            "same version?"
        )


def _say(answer: Answer) -> bytes:
    """Write an answer as one line."""
    try:
        text = answer.model_dump_json(exclude_defaults=True).encode()
    except PydanticSerializationError:
        return _say(Answer(error="The answer holds text that cannot be written; see: journalctl -u mailtlsd"))
    if len(text) >= LONGEST_REPLY:
        return _say(Answer(error=f"The answer has {len(text):,} bytes, which is too many; ask for less with --limit."))
    return text + b"\n"


async def _tell(writer: asyncio.StreamWriter, answer: Answer, within_s: float | None = None) -> None:
    """Send an answer and wait until all of it is with the kernel. Raises TimeoutError where nobody reads it."""
    async with asyncio.timeout(READ_S if within_s is None else within_s):
        writer.write(_say(answer))
        await writer.drain()
