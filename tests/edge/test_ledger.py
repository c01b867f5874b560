"""The ledger: what is on the disk is what happened, whenever the keeper is killed."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.core.waivers import NOW, days, event, listed, persons, waiver

from mailtls.core import register as register_module
from mailtls.core.keeperprotocol import Event, Step
from mailtls.core.level import Level
from mailtls.core.register import Register
from mailtls.edge import ledger as module
from mailtls.edge.ledger import Ledger, Line, decode, encode
from mailtls.errors import StoreError


def opened(directory: Path) -> Ledger:
    ledger = Ledger(directory)
    assert ledger.try_hold()
    return ledger


def happen(ledger: Ledger, *events: Event) -> None:
    for each in events:
        ledger.register.apply(each)
    ledger.append(events)


def told(register: Register) -> tuple[object, ...]:
    """Everything that a restart must not change."""
    return (
        dict(register.standing), dict(register.revoked), list(register.granted), register.last, list(register.events),
        [register.peers(NOW, level) for level in Level], register.automatic(),
    )  # fmt: skip


def some_events(ledger: Ledger) -> None:
    happen(ledger, event(1, Step.GRANTED, waiver("192.0.2.1")), event(2, Step.GRANTED, persons("192.0.2.0/28"), "root"))
    happen(ledger, event(3, Step.WITHDRAWN, waiver("192.0.2.1"), "alice"))
    happen(ledger, event(4, Step.GRANTED, listed("2001:db8::1"), "known-legacy.toml"))


def test_a_restart_gives_the_same_list(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    some_events(ledger)
    assert told(opened_anew(ledger, tmp_path).register) == told(ledger.register)
    assert ledger.register.last == 4


def opened_anew(ledger: Ledger, directory: Path) -> Ledger:
    ledger.close()
    return opened(directory)


def test_a_compacted_ledger_gives_the_same_list_and_is_shorter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register_module, "KEPT_EVENTS", 5)
    monkeypatch.setattr(module, "SLACK", 10)
    ledger = opened(tmp_path)
    some_events(ledger)
    while not ledger.worth_compacting():
        happen(ledger, event(ledger.register.last + 1, Step.RENEWED, persons("192.0.2.0/28"), "root"))
    before = ledger.path.stat().st_size
    ledger.compact()
    assert ledger.path.stat().st_size < before
    assert not ledger.worth_compacting()
    again = opened_anew(ledger, tmp_path)
    assert told(again.register) == told(ledger.register)
    happen(again, event(again.register.last + 1, Step.GRANTED, waiver("192.0.2.9")))
    assert told(opened_anew(again, tmp_path).register) == told(again.register)


@pytest.mark.parametrize("kept", range(1, 60))
def test_a_torn_last_line_is_dropped_and_what_follows_is_not_lost(tmp_path: Path, kept: int) -> None:
    ledger = opened(tmp_path)
    some_events(ledger)
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole + encode(Line(event=event(5, Step.GRANTED, waiver("192.0.2.5"))))[:kept])
    again = opened_anew(ledger, tmp_path)
    assert told(again.register) == told(ledger.register)
    assert again.damage == ()
    happen(again, event(5, Step.GRANTED, waiver("192.0.2.6")))
    assert again.path.read_bytes().startswith(whole)
    standing = opened_anew(again, tmp_path).register.peers(NOW, Level.CLEARTEXT)
    assert set(standing) == {"192.0.2.0/28", "2001:db8::1", "192.0.2.6"}


@pytest.mark.parametrize("number", range(4))
def test_a_damaged_line_is_skipped_and_said_and_its_number_is_not_given_again(tmp_path: Path, number: int) -> None:
    ledger = opened(tmp_path)
    some_events(ledger)
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    lines[number] = lines[number].replace(b"cleartext", b"sslv3", 1)
    ledger.path.write_bytes(b"".join(lines))
    again = opened_anew(ledger, tmp_path)
    assert f"(line {number + 1})" in again.damage[0]
    assert again.register.last >= 4
    assert all(waiver.level == "cleartext" for waiver in again.register.standing.values())


def test_binary_garbage_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_bytes(bytes(range(256)) * 10 + b"\n\n" + b"\xff" * 1000)
    ledger = opened(tmp_path)
    assert not ledger.register.standing
    assert ledger.damage


@pytest.mark.parametrize("text", ['{"event":null,"else":1}', '{"last":"x"}', "[]", "", '{"event":{"number":1}}'])
def test_a_line_of_another_kind_is_damaged_although_its_sum_is_right(text: str) -> None:
    import zlib

    assert decode(b"%08x %s" % (zlib.crc32(text.encode()), text.encode())) is None


def test_what_another_process_wrote_is_read_before_anything_is_changed(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    some_events(ledger)
    ledger.release()
    other = opened(tmp_path)
    happen(other, event(5, Step.EXPIRED, persons("192.0.2.0/28"), "clock"))
    assert not ledger.try_hold(), "the other one holds the lock"
    assert ledger.stale()
    other.release()
    assert ledger.try_hold()
    assert not ledger.stale()
    assert told(ledger.register) == told(other.register)


def test_a_full_disk_changes_nothing_and_leaves_no_torn_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = opened(tmp_path)
    some_events(ledger)
    before, listed_before = ledger.path.read_bytes(), told(ledger.register)

    def half(handle: int, view: memoryview, write: Callable[[int, bytes], int] = os.write) -> int:
        if len(view) < 100:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(handle, bytes(view[:90]))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(StoreError, match="no space left on device; nothing was changed"):
            happen(ledger, event(5, Step.GRANTED, waiver("192.0.2.5")))
    assert ledger.path.read_bytes() == before
    assert told(ledger.register) == listed_before
    happen(ledger, event(5, Step.GRANTED, waiver("192.0.2.5")))
    assert "192.0.2.5" in opened_anew(ledger, tmp_path).register.peers(NOW, Level.CLEARTEXT)


def test_a_directory_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such file or directory; is the directory there"):
        Ledger(tmp_path / "gone").try_hold()


CHILD = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from mailtls.core import register
from mailtls.edge import ledger as module
from mailtls.core.keeperprotocol import Step
from tests.core.waivers import event, waiver
register.KEPT_EVENTS, module.SLACK = 20, 20
ledger = module.Ledger(Path({directory!r}))
while not ledger.try_hold():
    pass
for turn in range(100_000):
    number = ledger.register.last + 1
    one = waiver(f"10.0.{{number // 250 % 250}}.{{number % 250}}", id=f"w{{number}}")
    happened = event(number, Step.GRANTED, one)
    ledger.register.apply(happened)
    ledger.append([happened])
    print(number, flush=True)
    if len(ledger.register.standing) > 30:
        number += 1
        gone = event(number, Step.WITHDRAWN, next(iter(ledger.register.standing.values())))
        ledger.register.apply(gone)
        ledger.append([gone])
        print(number, flush=True)
    if ledger.worth_compacting():
        ledger.compact()
"""


def test_no_event_that_was_written_is_lost_whenever_the_keeper_is_killed(tmp_path: Path) -> None:
    """Killed at random moments, many of them in a compaction: the list has what was said, at most one event more."""
    draw = random.Random(7)
    script = CHILD.format(path=sys.path, directory=str(tmp_path))
    for _ in range(8):
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            first = child.stdout.readline()
            time.sleep(draw.uniform(0.0, 0.1))  # the moment is drawn, not waited for
            child.send_signal(signal.SIGKILL)
            said = [int(line) for line in (first + child.stdout.read()).split(b"\n")[:-1]]
        ledger = opened(tmp_path)
        assert ledger.damage == ()
        assert said[-1] <= ledger.register.last <= said[-1] + 1
        numbers = [each.number for each in ledger.register.events]
        assert numbers == list(range(numbers[0], numbers[-1] + 1)), "none lost, none doubled"
        assert 20 <= len(ledger.register.standing) <= 33 or said[-1] < 40
        ledger.close()


def test_a_list_of_ten_thousand_is_read_within_seconds(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    number = 0
    fresh = []
    for high in range(40):
        for low in range(250):
            number += 1
            fresh.append(event(number, Step.GRANTED, waiver(f"10.1.{high}.{low}", until=NOW + days(1 + high))))
            ledger.register.apply(fresh[-1])
    ledger.append(fresh)
    assert len(opened_anew(ledger, tmp_path).register.standing) == 10_000
