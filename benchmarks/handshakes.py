#!/usr/bin/env python3
"""Compare predicted handshakes with a real Postfix, tens of thousands of them; time parser and prediction.

    sudo benchmarks/handshakes.py [--hellos 2000] [--seed 1] [--speed-only]

So many random hellos go to each of twelve profiles (keys, versions, ciphers, groups, preference) at private Postfixes
on loopback; the answer on the wire and the reason in the log must be what was predicted. Every difference is printed,
with the hello. Exit status 1 when there was any. Needs root, Postfix and the openssl command.

Speeds are processor time on one core, in the same run as what they are set beside: reading, tlslite-ng's reader of
hellos (which raises on some of them); predicting, OpenSSL's own server in memory, asked the same hellos.
"""

from __future__ import annotations

import argparse
import ssl
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.postfix.certificates import KeyType, make_certificate
from tests.postfix.comparing import compare, make_keys
from tests.postfix.instance import PrivatePostfix, why_not
from tests.postfix.profiles import PROFILES, WAYS, settings_for

from mailtls.core.clienthello import ClientHello, read_hello
from mailtls.core.fingerprint import fingerprint
from mailtls.core.handshake import predict
from mailtls.core.handshaketrial import Trial
from mailtls.edge.randomhello import random_hello

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # tlslite-ng imports asyncore, which is not used here
    from tlslite.errors import TLSError
    from tlslite.messages import ClientHello as TheirHello
    from tlslite.utils.codec import Parser

PRINTED = 20
LOT = 500  # hellos to one instance: its log is read at the end of each


def compare_all(hellos: list[bytes]) -> list[Trial]:
    """Send every hello to every profile."""
    found: list[Trial] = []
    for start in range(0, len(PROFILES), len(WAYS)):
        settings, chosen = settings_for(PROFILES[start : start + len(WAYS)])
        for lot in range(0, len(hellos), LOT):
            with PrivatePostfix(settings) as postfix:
                make_keys(postfix.directory)
                found += compare(postfix, chosen, hellos[lot : lot + LOT])
    return found


def per_second(count: int, seconds: float) -> str:
    """Write a rate."""
    return f"{count / seconds:,.0f}/s"


def timed(act: Callable[[bytes], object], hellos: list[bytes]) -> tuple[float, list[object]]:
    """Do it with every hello; give the processor's seconds and what came of each."""
    start = time.process_time()
    done = [act(data) for data in hellos]
    return time.process_time() - start, done


def read_by_tlslite(data: bytes) -> None:
    """Let tlslite-ng read one hello, as its server would."""
    sslv2 = bool(data[0] & 0x80)
    parser = Parser(bytearray(data[2:] if sslv2 else data[5:]))
    with suppress(SyntaxError, ValueError, TLSError):
        parser.get(1)
        TheirHello(ssl2=sslv2).parse(parser)


def answered_by_openssl(context: ssl.SSLContext, data: bytes) -> None:
    """Let OpenSSL answer one hello, in memory."""
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    into.write(data)
    with suppress(ssl.SSLError):
        context.wrap_bio(into, out, server_side=True).do_handshake()


def openssl_server() -> ssl.SSLContext:
    """Make a server with an RSA key, as low as this OpenSSL goes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as place:
        make_certificate(Path(place), KeyType.RSA)
        context.load_cert_chain(f"{place}/rsa.pem")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def measure(hellos: list[bytes]) -> None:
    """Print how fast hellos are read, named and predicted, on one core, beside what others take."""
    reading, read = timed(read_hello, hellos)
    known = [(data, hello) for data, hello in zip(hellos, read, strict=True) if isinstance(hello, ClientHello)]
    naming = sum_of(fingerprint, [hello for _, hello in known])
    server = PROFILES[0].server
    predicting = sum_of(lambda hello: predict(hello, server), [hello for _, hello in known])
    theirs, _ = timed(read_by_tlslite, hellos)
    context = openssl_server()
    asking, _ = timed(lambda data: answered_by_openssl(context, data), [data for data, _ in known])
    print(f"read      {per_second(len(hellos), reading):>10}, {theirs / reading:.1f} times tlslite-ng's reader of "
          f"hellos, {per_second(len(hellos), theirs)} (CPU)")  # fmt: skip
    print(f"JA4       {per_second(len(known), naming):>10}")
    print(f"predicted {per_second(len(known), predicting):>10}, {asking / predicting:.0f} times OpenSSL's own server "
          f"in memory, {per_second(len(known), asking)}")  # fmt: skip


def sum_of(act: Callable[[ClientHello], object], hellos: list[ClientHello]) -> float:
    """Give the processor's seconds for all."""
    start = time.process_time()
    for hello in hellos:
        act(hello)
    return time.process_time() - start


def main() -> int:
    """Compare, print, and tell whether all agreed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hellos", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed-only", action="store_true", help="ask no Postfix")
    options = parser.parse_args()
    if not options.speed_only and (reason := why_not()) is not None:
        print(f"not run: {reason}", file=sys.stderr)
        return 2
    chance = Random(options.seed)
    hellos = [random_hello(chance) for _ in range(options.hellos)]
    measure(hellos)
    if options.speed_only:
        return 0
    start = time.monotonic()
    compared = compare_all(hellos)
    wrong = [one for one in compared if not one.agrees]
    print(f"{len(compared) - len(wrong)} of {len(compared)} handshakes as predicted, "
          f"{sum(one.answer.cipher is not None for one in compared)} of them accepted, "
          f"{len({one.reason for one in compared})} different reasons; {time.monotonic() - start:.0f} s")  # fmt: skip
    for profile, count in Counter(one.service for one in wrong).most_common():
        print(f"  {profile}: {count} differ")
    for one in wrong[:PRINTED]:
        print(one)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
