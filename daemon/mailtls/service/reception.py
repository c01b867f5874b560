"""The keeper's reception: takes connections, tells who it is, reads requests and sends replies.

One JSON object a line each way (core/keeperprotocol.py), answered in order. Strangers get one sentence and are closed.

SECURITY: a client can waste its own connection only. A line has a bound, a connection has a time in which it must say
something or take what it is told, and there is a bound on connections, part of it kept for persons, so that a
daemon that was taken over cannot shut the operator out.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress

from pydantic import ValidationError

from mailtls.core.keeperprotocol import (
    LONGEST_REQUEST,
    REQUEST,
    Events,
    Grant,
    KeeperStatus,
    ListWaivers,
    Renew,
    Reply,
    Withdraw,
)
from mailtls.core.objection import Kind, Requester
from mailtls.core.printable import printable
from mailtls.service.keeper import Keeper

LOG = logging.getLogger("mailtls.keeper")
IDLE_S = 300.0  # in which a person's connection has to say something; mailtlsd's may stay open
TAKE_S = 30.0  # in which a client has to take what it is told
MOST = {Kind.PERSON: 64, Kind.DAEMON: 16}
STRANGER = Reply(
    ok=False,
    refused="The keeper serves root, the members of the operators' group (users.admins in mailtls.toml, usually "
    "mailtls-admin) and mailtlsd; you are none of them. After joining the group, log in again.",
)
TOO_MANY = Reply(ok=False, refused="Too many connections are open to the keeper; close some, and ask again.")
TOO_LONG = Reply(ok=False, refused=f"A request has at most {LONGEST_REQUEST} bytes; this one had no end.")

Asked = Grant | Renew | Withdraw | ListWaivers | Events | KeeperStatus


class Reception:
    """Serves `keeper` at a listening socket. `who` tells who connected, None for a stranger."""

    def __init__(self, keeper: Keeper, who: Callable[[socket.socket], Requester | None]) -> None:
        self._keeper = keeper
        self._who = who
        self._open = dict.fromkeys(Kind, 0)
        self._strangers = 0
        self._served: set[asyncio.Task[None]] = set()

    async def run(self, listening: socket.socket) -> None:
        """Serve until cancelled; then everybody is let go, mailtlsd too, whose connection stays open otherwise."""
        server = await asyncio.start_unix_server(self._serve, sock=listening, limit=LONGEST_REQUEST)
        try:
            await asyncio.Event().wait()
        finally:
            server.close()  # from Python 3.12 on `async with` would wait until everybody has left
            for connection in self._served:
                connection.cancel()
            await asyncio.gather(*self._served, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (a coroutine that runs has one)
        self._served.add(task)
        task.add_done_callback(self._served.discard)
        try:
            await self._meet(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()  # the keeper is being stopped; asyncio would print what it was doing

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            requester = self._who(writer.get_extra_info("socket"))
            if requester is None:
                self._count_stranger()
                await _tell(writer, STRANGER)
            elif self._open[requester.kind] >= MOST[requester.kind]:
                await _tell(writer, TOO_MANY)
            else:
                await self._talk(requester, reader, writer)
        except (OSError, TimeoutError):
            pass  # the client is gone, or hangs: its own loss
        finally:
            await _close(writer)

    def _count_stranger(self) -> None:
        self._strangers += 1
        if self._strangers & (self._strangers - 1) == 0:  # 1, 2, 4, 8, ...: nobody fills the log
            LOG.warning("refused %d connections of users who are neither root nor operators", self._strangers)

    async def _talk(self, requester: Requester, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[requester.kind] += 1
        try:
            idle = IDLE_S if requester.kind is Kind.PERSON else None
            while (asked := await _request(reader, idle)) is not None:
                if isinstance(asked, Events) and asked.follow:
                    await self._follow(asked, reader, writer)
                    return
                await _tell(writer, asked if isinstance(asked, Reply) else await self._reply(requester, asked))
                if asked is TOO_LONG:
                    return
        finally:
            self._open[requester.kind] -= 1

    async def _reply(self, requester: Requester, asked: Asked) -> Reply:
        match asked:
            case ListWaivers():
                return self._keeper.listed(asked)
            case Events():
                return Reply(events=self._keeper.events(asked.since, asked.limit))
            case KeeperStatus():
                return Reply(health=self._keeper.health())
        return await self._keeper.change(requester, asked)

    async def _follow(self, asked: Events, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send each event as it happens, until the client closes."""
        gone = asyncio.ensure_future(_is_gone(reader))
        since = asked.since
        try:
            while not gone.done():
                news = asyncio.ensure_future(self._keeper.news())
                events = self._keeper.events(since, asked.limit)
                if not events:
                    await asyncio.wait((news, gone), return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
                if events:
                    since = events[-1].number
                    await _tell(writer, Reply(events=events))
        finally:
            gone.cancel()


async def _request(reader: asyncio.StreamReader, idle: float | None) -> Asked | Reply | None:
    """Read one request; a Reply where it is none, None at the end."""
    try:
        line = await asyncio.wait_for(reader.readuntil(b"\n"), idle)
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError:
        return TOO_LONG
    if not line.strip():
        return Reply(ok=False, refused="An empty line is no request.")
    try:
        return REQUEST.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the line"
        what = printable(f"{where}: {first['msg']}", 300)
        return Reply(ok=False, refused=f"This is no request of the keeper's protocol: {what}.")


async def _is_gone(reader: asyncio.StreamReader) -> bool:
    """Wait until the client closes, or says something although it said that it would listen."""
    with suppress(OSError):
        await reader.read(1)
    return True


async def _tell(writer: asyncio.StreamWriter, reply: Reply) -> None:
    writer.write(reply.model_dump_json(exclude_defaults=True).encode() + b"\n")
    await asyncio.wait_for(writer.drain(), TAKE_S)


async def _close(writer: asyncio.StreamWriter) -> None:
    """Close when the last reply is taken; what is not taken in time is thrown away."""
    try:
        writer.close()
        await asyncio.wait_for(writer.wait_closed(), TAKE_S)
    except (OSError, TimeoutError):
        writer.transport.abort()
