"""Predictions beside what a real Postfix answered and logged."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mailtls.core.clienthello import read_hello
from mailtls.core.handshake import Negotiated, Prediction, predict

from .answers import Answer, answer_to
from .conversation import Server
from .instance import PrivatePostfix
from .profiles import NEW_KEY, Profile

_WORKER = re.compile(r"smtpd\[(\d+)\]: (.*)")
_REASON = re.compile(r"TLS library problem: error:0A([0-9A-F]{6}):SSL routines::([^:]*):")


@dataclass(frozen=True, slots=True)
class Compared:
    """One hello: what was predicted, what came, and OpenSSL's reason number in the log (None: there was none)."""

    profile: str
    hello: bytes
    predicted: Prediction | None
    answer: Answer
    logged: int | None = None

    @property
    def agrees(self) -> bool:
        """Tell whether answer and log are what was predicted."""
        match self.predicted:
            case Negotiated(version, cipher, retry):
                return self.answer == Answer(version, cipher.number, retry)
            case None:
                return self.answer.cipher is None
            case refused:
                return self.answer == Answer(alert=refused.alert) and self.logged == refused.reason

    def __str__(self) -> str:
        """Say all that is needed to see it again."""
        logged = None if self.logged is None else hex(self.logged)
        predicted = f"{self.predicted!r} ({self.predicted})"
        return f"{self.profile}: predicted {predicted}, came {self.answer}, logged {logged}: {self.hello.hex()}"


def make_keys(directory: Path) -> None:
    """Make the kinds of keys that only profiles have; Postfix reads them when its first client comes."""
    for name, kind in NEW_KEY.items():
        pem = directory / f"{name}.pem"
        pem.touch(mode=0o600)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-days", "2", "-subj", "/CN=mx.example.test",
             "-keyout", pem, "-out", f"{pem}.crt"],
            check=True, capture_output=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        pem.write_text(pem.read_text() + Path(f"{pem}.crt").read_text())


def compare(postfix: PrivatePostfix, chosen: dict[str, Profile], hellos: Iterable[bytes]) -> list[Compared]:
    """Send every hello to every profile, four at a time, and set beside it what was predicted."""

    def ask(task: tuple[int, str, bytes]) -> tuple[int, Compared]:
        number, way, hello = task
        read = read_hello(hello)
        predicted = predict(read, chosen[way].server) if read is not None else None
        server = Server(postfix.address, postfix.ports[way], tls_at_once=way == "smtps")
        answer, port = answer_to(hello, f"127.5.{number >> 8 & 255}.{1 + number % 250}", server)
        return port, Compared(chosen[way].name, hello, predicted, answer)

    tasks = [(number, way, hello) for number, hello in enumerate(hellos) for way in chosen]
    with ThreadPoolExecutor(4) as pool:
        asked = list(pool.map(ask, tasks))
    postfix.wait_for(r"smtpd\[\d+\]: disconnect from ", len(asked))
    logged = dict(_reasons(postfix.lines()))
    places = [f"127.5.{number >> 8 & 255}.{1 + number % 250}" for number, _, _ in tasks]
    return [
        Compared(one.profile, one.hello, one.predicted, one.answer, logged.get((place, port)))
        for place, (port, one) in zip(places, asked, strict=True)
    ]


def _reasons(lines: Iterable[str]) -> Iterator[tuple[tuple[str, int], int]]:
    """Read who failed for which reason: the line with the reason names its process only."""
    client: dict[str, tuple[str, int]] = {}
    for line in lines:
        if (found := _WORKER.search(line)) is None:
            continue
        pid, text = found.groups()
        if (connect := re.match(r"connect from \S+\[(.*)\]:(\d+)$", text)) is not None:
            client[pid] = (connect[1], int(connect[2]))
        elif (reason := _REASON.search(text)) is not None and pid in client:
            yield client[pid], int(reason[1], 16)
