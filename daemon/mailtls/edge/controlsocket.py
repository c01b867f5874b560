"""mailtlsd's control socket, from the asking side.

`ask` sends one question and gives its answer; `watch` gives everything as it happens, over a connection of its own.
Nothing is repeated here. An answer that says `error` is RefusedError: mailtlsd is there, and cannot tell.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

from pydantic import ValidationError

from mailtls.core.controlprotocol import LONGEST_REPLY, Answer, AskWatch, Happening, Question
from mailtls.edge.conversation import Conversation, Party
from mailtls.errors import ProtocolError, RefusedError, UnreachableError


class DaemonUnreachable(UnreachableError):  # noqa: N818  (what happened, not what it is)
    """mailtlsd does not answer."""


DAEMON = Party("mailtlsd", LONGEST_REPLY, DaemonUnreachable, DaemonUnreachable)


class ControlSocket:
    """Asks the mailtlsd that listens at `path`; `timeout_s`: seconds for one question and its answer."""

    def __init__(self, path: Path, timeout_s: float = 10) -> None:
        self.path = path
        self.timeout_s = timeout_s
        self._conversation = Conversation(path, DAEMON, timeout_s)

    async def ask(self, question: Question) -> Answer:
        """Send one question and give its answer. Raises DaemonUnreachable, RefusedError, ProtocolError."""
        if isinstance(question, AskWatch):
            raise ValueError("what goes on is for watch()")  # noqa: TRY004  (misuse, not a wrong type)
        return self._answer(await self._conversation.ask(question.model_dump_json(exclude_none=True)))

    async def watch(self) -> AsyncGenerator[Happening, None]:
        """Give everything as it happens, until the caller closes it. Raises as `ask` does."""
        conversation = Conversation(self.path, DAEMON, self.timeout_s)
        try:
            await conversation.tell(AskWatch().model_dump_json())
            while True:
                answer = self._answer(await conversation.hear())
                if answer.happening is not None:
                    yield answer.happening
        finally:
            conversation.close()

    async def close(self) -> None:
        """Close the connection; another question makes a new one."""
        self._conversation.close()

    def _answer(self, line: bytes) -> Answer:
        try:
            answer = Answer.model_validate_json(line)
        except ValidationError as error:
            self._conversation.close()
            raise ProtocolError(
                f"{DAEMON.name} at {self.path} answered with what is no answer; are both of the same version? "
                f"See: systemctl status {DAEMON.name}"
            ) from error
        if answer.error is not None:
            raise RefusedError(f"{DAEMON.name}: {answer.error}")
        return answer
