"""Follows a probe's plan at a real server: politely, and to an end, whatever the server does.

Between two connections there is a pause; a server that says that it is busy is given time, and asked again a few times.
A server that says nothing sensible several times in a row, or for which connections or time run out, is left alone: the
plan is closed, what was learned stands, and a clause says why the rest is missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from mailtls.core.probeplan import Asked, Asking, Told
from mailtls.core.probequestion import Ask
from mailtls.edge.serverasker import ServerAsker
from mailtls.edge.serverwire import ServerTrouble, Why
from mailtls.errors import UnreachableError

DELAY_S = 0.05
MOST = 1000
LONGEST_S = 900.0
_STRIKES = 3  # answers in a row that were none
_BUSY_S = (1.0, 3.0, 10.0)  # how long a busy server is given before it is asked again


@dataclass(frozen=True, slots=True)
class Pace:
    """How gently: seconds between two connections, and the most connections."""

    delay_s: float = DELAY_S
    most: int = MOST


class NoStarttls(Exception):  # noqa: N818 - what the server did, not an error of ours
    """The server has no TLS to offer; the text is a clause."""


class _Enough(Exception):  # noqa: N818  it never leaves this file
    """The server is left alone; the text is a clause."""


class ServerProbe:
    """One probe of one server; `told(step)` is called before each question."""

    def __init__(
        self,
        asker: ServerAsker,
        pace: Pace,
        told: Callable[[str], None],
        *,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._asker = asker
        self._pace = pace
        self._told = told
        self._wait = wait
        self._strikes = 0
        self._end = time.monotonic() + LONGEST_S
        self.answered = 0

    def follow(self, plan: Asking[None]) -> str:
        """Ask what the plan wants; give a clause about what stopped it, or nothing.

        Raises UnreachableError where nobody answers at all, NoStarttls.
        """
        try:
            question = next(plan)
            while True:
                question = plan.send(self._answer(question))
        except StopIteration:
            return ""
        except _Enough as enough:
            if self.answered:
                return str(enough)
            raise UnreachableError(
                f"{self._asker.target} cannot be probed: {enough}; see what it says: {_by_hand(self._asker)}"
            ) from None
        finally:
            plan.close()

    def _answer(self, question: Asked) -> Told:
        """Put one question, again where that may help."""
        for pause in (*_BUSY_S, None):
            self._approach(question)
            try:
                answer = self._put(question)
            except ServerTrouble as trouble:
                self._judge(trouble, last=pause is None)
                self._wait(pause or 0.0)
                continue
            if not answer.fault or not isinstance(question, Ask):
                self._strikes = 0
                self.answered += 1
                return answer
            self._strike(answer.fault)
            return answer
        raise _Enough("it does not answer any more")

    def _put(self, question: Asked) -> Told:
        return self._asker.ask(question.hello) if isinstance(question, Ask) else self._asker.shake(question)

    def _approach(self, question: Asked) -> None:
        if self._asker.connections >= self._pace.most:
            raise _Enough(f"{self._pace.most} connections were made, the most that --most allows")
        if time.monotonic() > self._end:
            raise _Enough(f"it took longer than {LONGEST_S / 60:.0f} minutes")
        if self._asker.connections:
            self._wait(self._pace.delay_s)
        self._told(question.step)

    def _judge(self, trouble: ServerTrouble, *, last: bool) -> None:
        """Say what trouble means; return where asking again may help."""
        words = str(trouble)
        if trouble.why is Why.NO_STARTTLS and not self.answered:
            raise NoStarttls(words)
        if trouble.why is Why.UNREACHABLE and not self.answered:
            raise UnreachableError(
                f"nobody answers at {self._asker.target}: {words}; is the port right, and no firewall between?"
            )
        if trouble.why is Why.SILENT:
            self._strike(words)
        if last:
            raise _Enough(words)

    def _strike(self, words: str) -> None:
        self._strikes += 1
        if self._strikes >= _STRIKES:
            raise _Enough(f"{_STRIKES} times in a row nothing sensible came: {words}")


def _by_hand(asker: ServerAsker) -> str:
    target = asker.target
    if not target.service.starttls:
        return f"openssl s_client -connect {target}"
    protocol = {"submission": "smtp"}.get(target.service, str(target.service))
    return f"openssl s_client -connect {target} -starttls {protocol}"
