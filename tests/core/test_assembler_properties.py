"""What holds for every log: order of processes does not matter, and no peer is charged with what another one did."""

from __future__ import annotations

import gc
from collections import Counter
from random import Random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from mailtls.core import assembler as assembler_module
from mailtls.core.assembler import Assembler
from mailtls.core.cause import Outcome
from mailtls.core.printable import printable
from mailtls.core.session import Session
from mailtls.core.sessionstate import OpenSession
from mailtls.core.stamp import Calendar

from .interleaving import World, lines_of, logs, worlds
from .reading import NOW, facts, read, smtpd

Log = tuple[World, list[list[str]]]

MANY = settings(max_examples=150)


def nobody_else_is_charged(world: World, sessions: list[Session], *, whole: bool = True) -> None:
    """`whole`: between its ends nothing is missing, so no session can look like two."""
    failed = Counter[str]()
    for session in sessions:
        ip, _, outcome, _, reason = facts(session)
        if outcome in (Outcome.TLS_FAILED, Outcome.SERVER_TLS_BROKEN):
            assert ip is not None
            assert reason in world.reasons.get(ip, ()), f"{ip} never had {reason}"
            failed[ip] += 1
    for ip, count in failed.items():
        assert not whole or count <= world.troubled[ip], f"{ip} failed {world.troubled[ip]} times, not {count}"


def tellable(world: World, units: list[list[str]]) -> list[list[str]]:
    """Leave out the reasons that nothing tells the owner of: those that do not stand behind a line of their session.

    `[connect A] ... [reason of B]`, where the end of A and the beginning of B are lost or late, is word for word what
    A's own reason without `SSL_accept error` looks like, and the corpus has that.
    """
    session_of: dict[int, tuple[int, int]] = {}
    for number, process in enumerate(world.processes):
        session = 0
        for unit in process:
            session += "]: connect from" in unit[0] or "]: CONNECT from" in unit[0]
            session_of[id(unit)] = (number, session)
    told: list[list[str]] = []
    last: dict[int, tuple[int, int]] = {}
    for unit in units:
        session = session_of[id(unit)]
        if "TLS library problem" not in unit[0] or len(unit) > 1 or last.get(session[0]) == session:
            told.append(unit)
            last[session[0]] = session
    return told


@MANY
@given(logs())
def test_any_interleaving_gives_the_same_verdicts(log: Log) -> None:
    world, units = log
    assert Counter(map(facts, read(lines_of(units)))) == world.truth


@MANY
@given(logs(), st.data())
def test_a_log_that_begins_late_and_ends_early_charges_nobody_else(log: Log, data: st.DataObject) -> None:
    world, units = log
    lines = lines_of(units)
    start = data.draw(st.integers(0, len(lines)))
    end = data.draw(st.integers(start, len(lines)))
    nobody_else_is_charged(world, read(lines[start:end]))


@settings(max_examples=150, phases=[Phase.generate])
@given(logs(), st.randoms(use_true_random=False), st.sampled_from([0.05, 0.2, 0.5]))
def test_lost_lines_charge_nobody_else(log: Log, chance: Random, share: float) -> None:
    world, units = log
    kept = tellable(world, [unit for unit in units if chance.random() >= share])
    nobody_else_is_charged(world, read(lines_of(kept)), whole=False)


@settings(max_examples=150, phases=[Phase.generate])
@given(logs(), st.randoms(use_true_random=False))
def test_lines_out_of_order_charge_nobody_else(log: Log, chance: Random) -> None:
    """A collector may swap neighbours of one second; here any line comes up to two places late.

    Not tlsproxy's: up to 3.3 only the place behind OpenSSL's line tells whose it is.
    """
    world, units = log
    units = [unit for unit in units if "tlsproxy" not in unit[0]]
    places = sorted(range(len(units)), key=lambda place: place + chance.choice([0, 0, 0, 0, 1.5, 2.5]))
    late = tellable(world, [units[place] for place in places])
    nobody_else_is_charged(world, read(lines_of(late)), whole=False)


@MANY
@given(logs(), st.data(), st.booleans())
def test_a_killed_process_and_its_pids_next_owner_do_not_mix(log: Log, data: st.DataObject, said: bool) -> None:
    """Every process dies somewhere; its pid comes back as another one of the same service, from the beginning."""
    world, units = log
    lines = lines_of(units)
    cut = data.draw(st.integers(0, len(lines)))
    killed = [
        f"Nov 21 00:42:35 mail postfix/master[1]: warning: process /usr/lib/postfix/sbin/smtpd pid {pid} killed by signal 9"
        for pid in range(100, 104)
    ]
    doubled = World([], world.truth + world.truth, world.reasons, world.troubled + world.troubled)
    nobody_else_is_charged(doubled, read([*lines[:cut], *(killed if said else []), *lines]))


@MANY
@given(logs(), st.integers(1, 3))
def test_a_doubled_log_charges_nobody_else(log: Log, times: int) -> None:
    """The same file given several times, or two that overlap."""
    world, units = log
    lines = lines_of(units)
    many = World([], world.truth, world.reasons, Counter({ip: count * times for ip, count in world.troubled.items()}))
    nobody_else_is_charged(many, read(lines * times))


@given(worlds())
def test_a_session_is_told_as_soon_as_its_last_line_was_read(world: World) -> None:
    """Live, nobody waits for the end of a log: what the end decides are only sessions that are still open."""
    reader = Assembler(Calendar(NOW))
    lines = lines_of(world.woven(world.turns()))
    told = [session for line in lines for session in reader.feed(line.encode())]
    unfinished = sum(1 for process in world.processes if not process[-1][-1].split("]: ")[1].startswith("disconnect"))
    assert len(read(lines)) - len(told) <= unfinished


# --- hostile bytes -------------------------------------------------------------------------------------------


def everything_is_printable(session: Session) -> None:
    peer = session.peer
    texts = [session.reason, session.tls_version, session.cipher, session.commands, *session.lines]
    texts += [peer.ip, peer.name] if peer is not None else []
    for text in texts:
        assert text is None or text == printable(text)
        assert text is None or len(text) <= 400


@MANY
@given(logs(), st.randoms(use_true_random=False), st.binary(max_size=40))
def test_no_bytes_whatever_raise_or_leave_unprinted(log: Log, chance: Random, bytes_: bytes) -> None:
    _, units = log
    lines = lines_of(units)
    for session in read(_damaged(line.encode(), chance, bytes_) for line in lines):
        everything_is_printable(session)


def _damaged(line: bytes, chance: Random, with_what: bytes) -> bytes:
    place = chance.randrange(len(line))
    return chance.choice(
        [line, line[:place], line[:place] + with_what + line[place:], line[:place] + with_what, line[place:]]
    )


@pytest.mark.parametrize(
    "evil", [b"\x1b[2J", b"\x00", b"\r", b"\x9b31m", "\u202e".encode(), "\u2028".encode(), b"\xff\xfe", b"\x7f"]
)
def test_control_characters_of_a_client_never_come_out_raw(evil: bytes) -> None:
    name = b"a" + evil + b"b"
    lines = [
        line.encode().replace(b"NAME", name)
        for line in [
            *smtpd(
                "connect from NAME[192.0.2.1]",
                "SSL_accept error from NAME[192.0.2.1]: NAME",
                "disconnect from NAME[192.0.2.1] NAME=1",
            ),
            *smtpd(
                "SSL_accept error from x[192.0.2.1]: -1",
                "warning: TLS library problem: error:0A000102:SSL routines::NAME:x:1:",
            ),
            *smtpd("TLS connection established from x[192.0.2.1]: TLSv1 with cipher NAME (1/1 bits)", pid=7),
            *smtpd('warning: Invalid TLS protocol list "NAME": disabling TLS support', pid=8),
            "Nov 21 00:42:35 mail dovecot: imap-login: Disconnected: user=<>, rip=NAME, lip=x, TLS handshaking: NAME, session=<NAME>",
            "Nov 21 00:42:35 mail dovecot: imap-login: Fatal: ssl NAME",
        ]
    ]
    reader = Assembler(Calendar(NOW))
    sessions = [session for line in lines for session in reader.feed(line)] + reader.finish()
    assert len(sessions) >= 4
    for session in sessions:
        everything_is_printable(session)
    for said in reader.statements:
        assert said.line == printable(said.line)
        assert said.text == printable(said.text)


@pytest.mark.parametrize(
    "byte", [b"x", b"\x00", b"\xff", b" ", b"[", b"(", b"<", b"1", b"]: ", b"rip=", b", TLS", b"error:"]
)
@pytest.mark.parametrize(
    "start", [b"", b"Nov 21 00:42:35 mail postfix/smtpd[100]: ", b"Nov 21 00:42:35 mail dovecot: imap-login: ", b"{"]
)
def test_a_line_of_a_megabyte_is_read_and_kept_short(start: bytes, byte: bytes) -> None:
    reader = Assembler(Calendar(NOW))
    for message in (b"", b"SSL_accept error from x[192.0.2.1]: ", b"connect from ", b"Disconnected: user=<"):
        line = (start + message + byte * (1 << 20))[: 1 << 20]
        for session in reader.feed(line):
            everything_is_printable(session)
    for session in reader.finish():
        everything_is_printable(session)
    assert reader.lines.read == 4


# --- bounded memory ------------------------------------------------------------------------------------------

PROCESSES, ENDPOINTS = 50, 20


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Assembler:
    """An assembler with room for few: what it promises of a million it must keep of a thousand."""
    monkeypatch.setattr(assembler_module, "PROCESSES", PROCESSES)
    monkeypatch.setattr(assembler_module, "ENDPOINTS", ENDPOINTS)
    return Assembler(Calendar(NOW))


def objects_held(reader: Assembler) -> int:
    """Everything that can be reached from the assembler: objects, not bytes."""
    seen: set[int] = set()
    waiting: list[object] = [reader]
    while waiting:
        thing = waiting.pop()
        if (
            id(thing) in seen
            or isinstance(thing, type)
            or type(thing).__name__ in ("module", "function", "builtin_function_or_method")
        ):
            continue
        seen.add(id(thing))
        waiting.extend(gc.get_referents(thing))
    return len(seen)


FLOODS = {
    "half-open sessions": lambda n: smtpd("connect from x[192.0.2.1]", pid=n),
    "half-open sessions of as many hosts": lambda n: smtpd("connect from x[192.0.2.1]", pid=1, host=f"h{n}"),
    "half-open sessions of as many services": lambda n: smtpd("connect from x[192.0.2.1]", tag=f"postfix/s{n}/smtpd"),
    "failures without a beginning": lambda n: smtpd("SSL_accept error from x[192.0.2.1]: -1", pid=n),
    "orphan reasons": lambda n: smtpd("warning: TLS library problem: error:0A0000C1:SSL routines::no shared cipher:x:1:", pid=n),
    "statements": lambda n: smtpd('warning: Invalid TLS protocol list "x": disabling TLS support', pid=n),
    "preludes": lambda n: smtpd('warning: Digest algorithm "md5" not found', pid=n),
    "successes without an end": lambda n: smtpd("TLS connection established from x[192.0.2.1]: TLSv1 with cipher X (1/1 bits)", pid=n),
    "one process, endless library lines": lambda n: smtpd(f"warning: TLS library problem: error:0A0000C1:SSL routines::r{n}:x:1:"),
    "one session, endless lines": lambda n: smtpd(f"4A1B2C{n}: client=x[192.0.2.1]"),
    "clients of one tlsproxy": lambda n: smtpd(f"CONNECT from [192.0.2.1]:{n}", tag="postfix/tlsproxy"),
    "as many tlsproxies": lambda n: smtpd(f"CONNECT from [192.0.2.1]:{n}", tag="postfix/tlsproxy", pid=n),
    "noise of as many tlsproxies": lambda n: smtpd("initializing the server-side TLS engine", tag="postfix/tlsproxy", pid=n),
    "stacked errors": lambda n: [f"Nov 21 00:42:35 h{n} dovecot: imap-login: Error: SSL: Stacked error: error:1:a:b:c"],
    "fatal lines": lambda n: [f"Nov 21 00:42:35 mail dovecot: imap-login: Fatal: ssl {n}"],
    "stamps": lambda n: smtpd("disconnect from x[192.0.2.1] ehlo=1 quit=1 commands=2", stamp=f"17320{n:05d}.0"),
    "tags": lambda n: [f"Nov 21 00:42:35 mail tag{n}[1]: x"],
}  # fmt: skip


@pytest.mark.parametrize("flood", FLOODS)
def test_memory_does_not_grow_with_the_log(small: Assembler, flood: str) -> None:
    lines = FLOODS[flood]
    sizes = []
    for stage in range(2):  # the caches of stamps and tags are full after 4,096 different ones
        for number in range(stage * 4_500, (stage + 1) * 4_500):
            for line in lines(number):
                small.feed(line.encode())
        sizes.append(objects_held(small))
    assert sizes[1] < sizes[0] * 1.2 + 3_000
    assert sizes[1] < 30_000


def test_what_is_put_out_by_new_sessions_counts_as_far_as_it_is_proven(small: Assembler) -> None:
    told: list[Session] = []
    for number in range(1_000):
        for line in smtpd(
            f"connect from x[192.0.2.{number % 250}]",
            f"SSL_accept error from x[192.0.2.{number % 250}]: -1",
            pid=number,
        ):
            told += small.feed(line.encode())
    assert len(told) == 1_000 - PROCESSES
    assert len(small.finish()) == PROCESSES


def test_the_longest_idle_is_put_out_first(small: Assembler) -> None:
    early = smtpd("connect from early[192.0.2.9]", "SSL_accept error from early[192.0.2.9]: -1", pid=9_999)
    told: list[Session] = []
    for line in early:
        small.feed(line.encode())
    for number in range(PROCESSES):
        told += small.feed(smtpd("connect from x[192.0.2.1]", pid=number)[0].encode())
    assert [facts(session)[0] for session in told] == ["192.0.2.9"]


def test_open_sessions_hold_few_lines() -> None:
    session = OpenSession(b"x[192.0.2.1]", b"")
    for number in range(1_000):
        session.add_line(b"x" * 100_000 + str(number).encode())
    assert len(session.lines) <= 8
    assert sum(map(len, session.lines)) < 20_000
