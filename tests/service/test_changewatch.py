"""What mailtls-apply says becomes alarms; peers that fail after a change become one request."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailtls.core.notice import ChangeNotice, Examination, GuardOutcome, GuardRequest
from mailtls.edge.noticeboard import NoticeBoard
from mailtls.service.changewatch import CHANGE, EXAMINATION, GUARD, TOLD, ChangeWatch

NOW = datetime(2026, 11, 21, 12, 0, 0, 500_000, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PEERS = ("192.0.2.1", "192.0.2.2", "192.0.2.3")


def nobody(_change: datetime, _now: datetime) -> tuple[str, ...]:
    return ()


def three(change: datetime, _now: datetime) -> tuple[str, ...]:
    assert change == NOW.replace(microsecond=0), "stamps of logs have whole seconds"
    return PEERS


class House:
    """Both boards, and what is shown."""

    def __init__(self, directory: Path) -> None:
        self.apply, self.daemon = NoticeBoard(directory / "apply"), NoticeBoard(directory / "mailtls")
        self.faults: dict[str, str] = {}
        self.broken: list[bool] = []
        self.watch = ChangeWatch(self.apply, self.daemon, self.faults, self.broken.append)

    def changed(self, *, guarded: bool = True) -> None:
        self.apply.put(CHANGE, ChangeNotice(
            id="c1", what="the edit of main.cf", configuration="/etc/postfix", at=NOW, until=NOW + 10 * MINUTE,
            guarded=guarded,
        ))  # fmt: skip

    def requested(self) -> GuardRequest | None:
        return self.daemon.read(GUARD, GuardRequest)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def examination(*faults: str, drift: tuple[str, ...] = ()) -> Examination:
    result = "faults" if faults else "fine"
    return Examination(at=NOW, configuration="/etc/postfix", result=result, faults=faults, drift=drift)  # type: ignore[arg-type]


def test_an_edit_that_breaks_postfix_is_an_alarm_until_it_is_mended(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.watch.look(nobody, NOW)
    assert house.faults == {}
    house.apply.put(EXAMINATION, examination("service smtp/inet: \x1b[31mjunk", "two", "three", "four"))
    with caplog.at_level(logging.ERROR):
        house.watch.look(nobody, NOW)
        house.watch.look(nobody, NOW)
    assert "would break Postfix: service smtp/inet: ?[31mjunk; two; three, and 1 more" in house.faults["configuration"]
    assert "mailtlsctl reload" in house.faults["configuration"]
    assert len(caplog.records) == 1
    assert house.broken[-1] is True
    house.apply.put(EXAMINATION, examination())
    house.watch.look(nobody, NOW)
    assert house.faults == {}
    assert house.broken[-1] is False


def test_drift_of_the_doors_is_shown_and_is_no_fault_of_the_server(house: House) -> None:
    house.apply.put(EXAMINATION, examination(drift=("the door legacy lacks a milter",)))
    house.watch.look(nobody, NOW)
    assert house.faults == {"doors": "the door legacy lacks a milter"}
    assert house.broken == [False]


def test_peers_that_fail_after_a_change_make_one_request(house: House) -> None:
    house.changed()
    house.watch.look(nobody, NOW + MINUTE)
    assert house.requested() is None
    house.watch.look(three, NOW + 2 * MINUTE)
    assert house.requested() == GuardRequest(change="c1", at=NOW + 2 * MINUTE, peers=PEERS)
    assert "3 peers that used to succeed fail since the edit of main.cf at 12:00:00" in house.faults["guard"]
    house.daemon.remove(GUARD)
    house.watch.look(three, NOW + 3 * MINUTE)
    assert house.requested() is None, "once per change"


@pytest.mark.parametrize("minutes", [-1, 11])
def test_outside_its_window_a_change_is_not_charged(house: House, minutes: int) -> None:
    house.changed()
    house.watch.look(three, NOW + minutes * MINUTE)
    assert house.requested() is None
    assert house.faults == {}


def test_a_change_that_is_not_guarded_is_only_an_alarm(house: House) -> None:
    house.changed(guarded=False)
    house.watch.look(three, NOW + MINUTE)
    assert house.requested() is None
    assert "it is not guarded" in house.faults["guard"]


def test_what_became_of_it_is_shown_for_a_day(house: House) -> None:
    house.changed()
    house.watch.look(three, NOW + MINUTE)
    told = GuardOutcome(change="c1", at=NOW + MINUTE, taken_back=True, sentence="It was taken back.")
    house.apply.put(GUARD, told)
    house.watch.look(three, NOW + MINUTE)
    assert house.faults["guard"] == "It was taken back; to make it stand all the same: mailtlsctl edit --no-guard"
    house.watch.look(nobody, NOW + MINUTE + TOLD)
    assert "guard" in house.faults
    house.watch.look(nobody, NOW + 2 * MINUTE + TOLD)
    assert house.faults == {}


def test_after_a_restart_nothing_is_asked_that_was_answered(house: House) -> None:
    house.changed()
    house.apply.put(GUARD, GuardOutcome(change="c1", at=NOW + MINUTE, taken_back=False, sentence="It was edited."))
    house.watch.look(three, NOW + 2 * MINUTE)
    assert house.requested() is None


def test_notes_that_are_none_break_nothing(house: House) -> None:
    house.apply.directory.mkdir()
    for name in (CHANGE, EXAMINATION, GUARD):
        (house.apply.directory / name).write_text("{")
    house.watch.look(three, NOW)
    assert house.faults == {}


def test_a_request_that_cannot_be_left_is_told(house: House) -> None:
    house.changed()
    house.daemon.directory.parent.joinpath("mailtls").touch()
    house.watch.look(three, NOW + MINUTE)
    assert "nobody can be asked to take it back" in house.faults["guard"]
