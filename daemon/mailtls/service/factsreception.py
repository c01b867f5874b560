"""mailtlsd's ear for the milter: its datagrams are facts of messages, and go to the desk for facts.

The socket is there as long as its directory is (tmpfiles.d makes it); without it, or without a milter, everything else
is as ever.

SECURITY: only the milter's group gets into the directory. What is no parcel is counted and thrown away; at most
`AT_ONCE` datagrams are taken before the rest of mailtlsd gets its turn, and the kernel holds a few more: what comes
then is lost, and the milter counts it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Protocol

from mailtls.core.factsparcel import LARGEST, Misshapen, unpack_facts
from mailtls.core.smtpfacts import SmtpFacts
from mailtls.core.verdict import Verdict
from mailtls.edge.datagramreceiver import DatagramReceiver
from mailtls.errors import ConfigError

LOG = logging.getLogger("mailtls.factsreception")
AT_ONCE = 200
FAULT = "milter"
TAKEN, LOST = "taken", "lost"
KINDS = (TAKEN, LOST, *(each.value for each in Misshapen))
"""What is counted: parcels that were taken, those that the milter could not get rid of, and those that are none."""


class Received(Protocol):
    """Where datagrams come from."""

    def fileno(self) -> int:
        """Give the descriptor to wait for."""

    def receive(self) -> bytes | None:
        """Give a datagram that is there."""

    def close(self) -> None:
        """Receive no more."""


def open_receiver(path: Path) -> Received:
    """Make the socket. Raises ConfigError."""
    return DatagramReceiver(path, LARGEST, "the milter")


class FactsReception:
    """Takes parcels. `take`: the desk for facts; `count`: so many more of a kind; `faults`: for an operator."""

    def __init__(
        self,
        path: Path,
        take: Callable[[SmtpFacts, Verdict], None],
        count: Callable[[str, int], None],
        faults: MutableMapping[str, str],
        opener: Callable[[Path], Received] = open_receiver,
    ) -> None:
        self._path = path
        self._take = take
        self._count = count
        self._faults = faults
        self._opener = opener
        self._lost = 0
        self._misshapen = 0

    async def run(self) -> None:
        """Listen until cancelled."""
        receiver = self._open()
        if receiver is None:
            await asyncio.Event().wait()
            return
        loop = asyncio.get_running_loop()
        loop.add_reader(receiver.fileno(), self.drain, receiver)
        try:
            await asyncio.Event().wait()
        finally:
            loop.remove_reader(receiver.fileno())
            receiver.close()

    def _open(self) -> Received | None:
        """Make the socket where its directory is there; what hinders that is said, and hinders nothing else."""
        if not self._path.parent.is_dir():
            return None
        try:
            receiver = self._opener(self._path)
        except ConfigError as error:
            LOG.error("%s", error)  # noqa: TRY400  (a sentence)
            self._faults[FAULT] = str(error)
            return None
        self._faults.pop(FAULT, None)
        return receiver

    def drain(self, receiver: Received) -> None:
        """Take what is there."""
        for _ in range(AT_ONCE):
            datagram = receiver.receive()
            if datagram is None:
                return
            self._receive(datagram)

    def _receive(self, datagram: bytes) -> None:
        parcel = unpack_facts(datagram)
        if isinstance(parcel, Misshapen):
            self._complain(parcel)
            return
        self._count(TAKEN, 1)
        # A milter that was started anew counts from nought again.
        missing = parcel.lost - self._lost if parcel.lost >= self._lost else parcel.lost
        self._lost = parcel.lost
        if missing:
            self._count(LOST, missing)
        self._take(parcel.facts, parcel.verdict)

    def _complain(self, fault: Misshapen) -> None:
        self._count(fault.value, 1)
        self._misshapen += 1
        if self._misshapen & (self._misshapen - 1) == 0:  # 1, 2, 4, 8, ...: nobody fills the log
            advice = "; systemctl restart mailtls-milter" if fault is Misshapen.OTHER_VERSION else ""
            LOG.warning("%d datagrams at %s were no facts (%s)%s", self._misshapen, self._path, fault, advice)
