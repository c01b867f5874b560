"""The milter: tells each connection's events to its dialogue, the facts to mailtlsd, and the verdicts to Postfix.

Holds no logic: what is asked and answered is core/milterdialogue.py, and what a verdict knows is one snapshot, read
from a file. mailtlsd may be dead: facts are lost then, and counted, and the verdicts are those of the last snapshot.

DIAGNOSTICS: that facts get lost is said at most once a minute.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from mailtls.core.factsparcel import FactsParcel, pack_facts
from mailtls.core.milterdialogue import Ending, Judged, Macro, MilterDialogue, Wishes, reply_to, wishes_of
from mailtls.core.verdict import DUNNO, Snapshot
from mailtls.errors import UnreachableError

SAID_EVERY_S = 60.0
Reply = tuple[str, str, str]
Tell = Callable[[str], None]


class FactsTeller:
    """Tells mailtlsd what was judged, or counts what it could not be told. Any thread may."""

    def __init__(self, send: Callable[[bytes], None], tell: Tell, clock: Callable[[], float] = time.monotonic) -> None:
        self._send = send
        self._tell = tell
        self._clock = clock
        self._lock = threading.Lock()
        self._said_at = -SAID_EVERY_S
        self.lost = 0

    def take(self, judged: Judged) -> None:
        """Tell one message."""
        try:
            self._send(pack_facts(FactsParcel(judged.facts, judged.verdict, self.lost)))
        except UnreachableError as error:
            with self._lock:
                self.lost += 1
                if self._clock() - self._said_at < SAID_EVERY_S:
                    return
                self._said_at = self._clock()
            self._tell(
                f"{error}: what Postfix said of {self.lost} messages was not told to mailtlsd, and mail goes on; see "
                "systemctl status mailtlsd"
            )


class Milter:
    """Begins connections. `snapshot` gives what is known now."""

    def __init__(self, snapshot: Callable[[], Snapshot], teller: FactsTeller) -> None:
        self.snapshot = snapshot
        self.teller = teller
        self._wishes: tuple[Snapshot, Wishes] | None = None

    def begin(self) -> MilterConnection:
        """Begin a connection."""
        snapshot = self.snapshot()
        known = self._wishes
        if known is None or known[0] is not snapshot:
            known = self._wishes = snapshot, wishes_of(snapshot)
        return MilterConnection(self, known[1])


class MilterConnection:
    """One connection of Postfix; see edge/milter.py for the events."""

    __slots__ = ("_dialogue", "_milter")

    def __init__(self, milter: Milter, wishes: Wishes) -> None:
        self._milter = milter
        self._dialogue = MilterDialogue(wishes)

    @property
    def wishes(self) -> Wishes:
        """What Postfix is asked for."""
        return self._dialogue.wishes

    def hello(self, name: str) -> None:
        """Hear HELO."""
        self._dialogue.hello(name)

    def sender(self, words: Sequence[bytes]) -> None:
        """Hear MAIL."""
        self._dialogue.sender(words)

    def header(self, name: str, octets: int) -> None:
        """Hear of a header."""
        self._dialogue.header(name, octets)

    def body(self, octets: int) -> None:
        """Hear of a piece of the body."""
        self._dialogue.body(octets)

    def recipient(self, words: Sequence[bytes], macro: Macro) -> Reply | None:
        """Judge one recipient; only a refusal is worth telling."""
        judged = self._dialogue.recipient(words, macro, self._milter.snapshot())
        if judged.verdict is not DUNNO:
            self._milter.teller.take(judged)
        return reply_to(judged.verdict)

    def data(self, macro: Macro) -> Reply | None:
        """Judge the message, and tell mailtlsd of it."""
        judged = self._dialogue.data(macro, self._milter.snapshot())
        self._milter.teller.take(judged)
        return reply_to(judged.verdict)

    def end(self) -> tuple[Reply | None, Ending]:
        """Judge the message by its size, where that was asked for; only a refusal is worth telling."""
        ending = self._dialogue.end(self._milter.snapshot)
        if ending.judged is None or ending.judged.verdict is DUNNO:
            return None, ending
        self._milter.teller.take(ending.judged)
        return reply_to(ending.judged.verdict), ending
