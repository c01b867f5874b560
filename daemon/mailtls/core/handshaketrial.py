"""One hello that was tried: what was predicted, what the server answered, and the reason that Postfix logged.

The reason stands on a line that names its process only, and belongs to the client that this process served then.
A prediction is kept only by its whole answer: version, cipher, whether another key was asked for, or alert and reason.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from mailtls.core.handshake import REASONS, Negotiated, Prediction
from mailtls.core.logline import split
from mailtls.core.serverhello import ServerAnswer
from mailtls.core.tlsversion import name_of as version_name

NOT_READ = -1
"""The reason of a trial whose log nobody read."""

_CONNECT = re.compile(rb"connect from [^\s\[\]]{1,255}\[([0-9A-Fa-f.:]{2,45})\](?::(\d{1,5}))?$")
_REASON = re.compile(rb"warning: TLS library problem: (?:\d{1,9}:)?error:0A([0-9A-Fa-f]{6}):")


@dataclass(frozen=True, slots=True)
class Trial:
    """One hello at one service. `predicted` None: the hello is none; `reason`: OpenSSL's number, None: none logged."""

    service: str
    hello: bytes
    predicted: Prediction | None
    answer: ServerAnswer
    reason: int | None = NOT_READ

    @property
    def agrees(self) -> bool:
        """Tell whether answer and log are what was predicted."""
        came = self.answer.version, self.answer.cipher, self.answer.retry, self.answer.alert
        match self.predicted:
            case Negotiated(version, cipher, retry):
                return came == (version, cipher.number, retry, None)
            case None:
                return not self.answer.accepted
            case refused:
                return came == (None, None, False, refused.alert) and self.reason in (NOT_READ, refused.reason)

    @property
    def foretold(self) -> str:
        """Say what was predicted."""
        match self.predicted:
            case None:
                return "nothing, it is no hello"
            case Negotiated(retry=True):
                return f"{self.predicted}, after asking for another key"
            case Negotiated():
                return str(self.predicted)
            case refused:
                return f"{refused}, alert {refused.alert}"

    @property
    def came(self) -> str:
        """Say what came."""
        answer = self.answer
        if answer.version is not None and answer.cipher is not None:
            retried = ", after asking for another key" if answer.retry else ""
            return f"{version_name(answer.version)} with cipher 0x{answer.cipher:04X}{retried}"
        said = f"alert {answer.alert}" if answer.alert is not None else answer.fault or "the end of the connection"
        if self.reason is None or self.reason == NOT_READ:
            return said
        return f"{REASONS.get(self.reason, f'reason 0x{self.reason:03X}')}, {said}"

    def __str__(self) -> str:
        """Say all that is needed to see it again."""
        return f"{self.service}: predicted {self.foretold}; came {self.came}: {self.hello.hex()}"


@dataclass(slots=True)
class Visit:
    """One connection as smtpd logged it; `port` 0 where ports are not logged; `over`: it has ended."""

    ip: str
    port: int
    reason: int | None = None
    over: bool = False


def visits_of(lines: Iterable[bytes]) -> list[Visit]:
    """Read which client failed for which reason, in the order in which they connected."""
    return list(_visits(lines))


def _visits(lines: Iterable[bytes]) -> Iterator[Visit]:
    serving: dict[bytes, Visit] = {}
    for raw in lines:
        line = split(raw)
        if line is None or not line.tag.endswith(b"smtpd"):
            continue
        if (connect := _CONNECT.match(line.message)) is not None:
            visit = serving[line.source] = Visit(connect[1].decode("ascii"), int(connect[2] or 0))
            yield visit
        elif (visited := serving.get(line.source)) is None:
            continue
        elif (reason := _REASON.match(line.message)) is not None:
            visited.reason = int(reason[1], 16)
        elif line.message.startswith(b"disconnect from "):
            visited.over = True


def with_reasons(trials: list[Trial], clients: list[tuple[str, int]], visits: list[Visit]) -> list[Trial] | None:
    """Give every trial the reason that was logged for it; `clients`: who we were in each, in their order.

    Where ports are not logged the order tells, if nobody else came from that address. None: it cannot be told.
    """
    own = {ip for ip, _ in clients}
    ours = [visit for visit in visits if visit.ip in own]
    if all(visit.port for visit in ours):
        found: dict[tuple[str, int], deque[Visit]] = defaultdict(deque)
        for visit in ours:
            found[visit.ip, visit.port].append(visit)  # a port comes back soon where the server closes first
        ours = [found[client].popleft() for client in clients if found[client]]
    if len(ours) != len(trials) or not all(visit.over for visit in ours):
        return None
    return [replace(one, reason=visit.reason) for one, visit in zip(trials, ours, strict=True)]
