"""Predictions beside what a real Postfix answered and logged."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from mailtls.core.clienthello import read_hello
from mailtls.core.handshake import predict
from mailtls.core.handshaketrial import Trial, visits_of
from mailtls.edge.helloasker import Entrance, answer_to

from .instance import PrivatePostfix
from .profiles import NEW_KEY, Profile


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


def compare(postfix: PrivatePostfix, chosen: dict[str, Profile], hellos: Iterable[bytes]) -> list[Trial]:
    """Send every hello to every profile, four at a time, and set beside it what was predicted."""

    def ask(task: tuple[int, str, bytes]) -> tuple[tuple[str, int], Trial]:
        number, way, hello = task
        read = read_hello(hello)
        predicted = predict(read, chosen[way].server) if read is not None else None
        source = f"127.5.{number >> 8 & 255}.{1 + number % 250}"
        entrance = Entrance(way, postfix.address, postfix.ports[way], tls_at_once=way == "smtps", source=source)
        answer, ip, port = answer_to(hello, entrance)
        return (ip, port), Trial(chosen[way].name, hello, predicted, answer)

    tasks = [(number, way, hello) for number, hello in enumerate(hellos) for way in chosen]
    with ThreadPoolExecutor(4) as pool:
        asked = list(pool.map(ask, tasks))
    postfix.wait_for(r"smtpd\[\d+\]: disconnect from ", len(asked))
    logged = {(visit.ip, visit.port): visit.reason for visit in visits_of(line.encode() for line in postfix.lines())}
    return [replace(one, reason=logged.get(client)) for client, one in asked]
