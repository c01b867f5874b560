"""The keeper's socket, from the asking side: mailtlsctl for persons, mailtlsd for itself.

`ask` sends one request and gives its reply, whether the keeper did it or refused (`Reply.ok`); `follow` gives the
events after a number and then each new one, over a connection of its own. Nothing is repeated here: after
KeeperUnreachable the caller asks again, with the same id, which the keeper does once (core/keeperprotocol.py).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

from pydantic import ValidationError

from mailtls.core.keeperprotocol import LONGEST_REPLY, Event, Events, Reply, Request
from mailtls.edge.conversation import Conversation, Party
from mailtls.errors import ProtocolError, RefusedError, UnreachableError


class KeeperUnreachable(UnreachableError):  # noqa: N818  (what happened, not what it is)
    """The keeper does not answer."""


class KeeperSilent(KeeperUnreachable):
    """The keeper was asked and did not answer; whether it did what it was asked is not known."""


KEEPER = Party("mailtls-keeper", LONGEST_REPLY, KeeperUnreachable, KeeperSilent)


class KeeperSocket:
    """Asks the keeper that listens at `path`; `timeout_s`: seconds for one request and its reply."""

    def __init__(self, path: Path, timeout_s: float = 10) -> None:
        self.path = path
        self.timeout_s = timeout_s
        self._conversation = Conversation(path, KEEPER, timeout_s)

    async def ask(self, request: Request) -> Reply:
        """Send one request and give its reply. Raises KeeperUnreachable, ProtocolError."""
        if isinstance(request, Events) and request.follow:
            raise ValueError("events that go on are for follow()")
        return self._reply(await self._conversation.ask(request.model_dump_json(exclude_none=True)))

    async def follow(self, since: int) -> AsyncGenerator[Event, None]:
        """Give the events after number `since`, then each new one as it happens; each once, in their order.

        Ends only by KeeperUnreachable, RefusedError or ProtocolError, or when the caller closes it.
        """
        conversation = Conversation(self.path, KEEPER, self.timeout_s)
        try:
            await conversation.tell(Events(since=since, follow=True).model_dump_json())
            while True:
                reply = self._reply(await conversation.hear())
                if not reply.ok:
                    raise RefusedError(f"{KEEPER.name} at {self.path} does not tell its events: {reply.refused}")
                for event in reply.events:
                    if event.number > since:
                        since = event.number
                        yield event
        finally:
            conversation.close()

    async def close(self) -> None:
        """Close the connection; another request makes a new one."""
        self._conversation.close()

    def _reply(self, line: bytes) -> Reply:
        try:
            return Reply.model_validate_json(line)
        except ValidationError as error:
            self._conversation.close()
            raise ProtocolError(
                f"{KEEPER.name} at {self.path} answered with what is no reply; are both of the same version? "
                f"See: systemctl status {KEEPER.name}"
            ) from error
