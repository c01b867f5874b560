"""Soon after a change of ours that peers suffer from, it is taken back, once; and edits in place are examined."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import BaseModel

from mailtls.core.notice import ChangeNotice, Examination, GuardOutcome, GuardRequest
from mailtls.edge.noticeboard import NoticeBoard
from mailtls.errors import RefusedError, StoreError
from mailtls.service import applysurvey
from mailtls.service.applychange import CHANGE, carry_out
from mailtls.service.applyguard import OUTCOME, REQUEST, guard
from mailtls.service.applyplan import Site
from mailtls.service.applyreload import reload
from mailtls.service.applysetup import setup
from mailtls.service.applysurvey import EXAMINATION, survey

from .applying import age, change_of, mail_flowing, room_of, site_of
from .instance import PrivatePostfix

PEERS = ("192.0.2.1", "192.0.2.2", "192.0.2.3")
LATER = ("starttls_timeout = 20s", "starttls_timeout = 25s")


def clock() -> datetime:
    return datetime.now(UTC)


class Guarded:
    """A Postfix whose changes are guarded, and what mailtlsd would ask."""

    def __init__(self, postfix: PrivatePostfix) -> None:
        self.postfix = postfix
        self.told, self.asks = NoticeBoard(postfix.directory / "told"), NoticeBoard(postfix.directory / "asks")

    @property
    def site(self) -> Site:
        return replace(site_of(self.postfix), board=self.told)

    @property
    def main(self) -> bytes:
        return (self.postfix.configuration / "main.cf").read_bytes()

    def ask(self) -> None:
        notice = self.told.read(CHANGE, ChangeNotice)
        assert notice is not None
        self.asks.put(REQUEST, GuardRequest(change=notice.id, at=clock(), peers=PEERS))

    def guard(self, clock: Callable[[], datetime] = clock) -> tuple[str, ...]:
        return guard(lambda _: self.site, self.asks, self.site, clock).notes

    def refused(self, words: str, clock: Callable[[], datetime] = clock) -> None:
        """See that nothing is taken back, that mailtlsd hears it, and that the request is gone."""
        before = self.main
        with pytest.raises(RefusedError, match=words):
            self.guard(clock)
        outcome = self.told.read(OUTCOME, GuardOutcome)
        assert outcome is not None
        assert not outcome.taken_back
        assert self.main == before
        assert self.asks.read(REQUEST, GuardRequest) is None


@pytest.fixture(scope="module")
def postfix() -> Iterator[PrivatePostfix]:
    with PrivatePostfix() as postfix:
        yield postfix


@pytest.fixture
def house(postfix: PrivatePostfix) -> Iterator[Guarded]:
    before = {name: (postfix.configuration / name).read_bytes() for name in ("main.cf", "master.cf")}
    yield Guarded(postfix)
    for name, content in before.items():
        (postfix.configuration / name).write_bytes(content)
        age(postfix.configuration / name)


def test_a_change_that_peers_suffer_from_is_taken_back_once(house: Guarded) -> None:
    before = house.main
    with mail_flowing(house.postfix) as stream:
        carry_out(change_of(house.postfix, "main.cf", *LATER), house.site)
        house.ask()
        notes = house.guard()
        assert house.main == before
        assert "the edit of main.cf" in notes[0]
        assert "3 peers that used to succeed failed after it" in notes[0]
        house.ask()
        house.refused("that is done once")
    assert stream.failures == []
    assert b"timeout = 25s" in (house.site.workplace / "main.cf.taken-back").read_bytes()


def test_all_of_a_setup_is_taken_back(house: Guarded) -> None:
    master = house.postfix.configuration / "master.cf"
    before, room = master.read_bytes(), replace(room_of(house.postfix), site=house.site)
    setup(room)
    assert master.read_bytes() != before
    house.ask()
    house.guard()
    assert master.read_bytes() == before
    assert not room.view.exists()
    assert not room.record.exists()


def test_nobody_asks_and_nothing_happens(house: Guarded) -> None:
    assert house.guard() == ("Nobody asks for anything to be taken back.",)


def test_what_may_not_be_taken_back_is_only_told(house: Guarded) -> None:
    carry_out(change_of(house.postfix, "main.cf", *LATER), house.site)
    house.ask()
    house.refused("too long ago", lambda: clock() + timedelta(minutes=11))
    house.asks.put(REQUEST, GuardRequest(change="another", at=clock(), peers=PEERS))
    house.refused("is not the last one")
    house.ask()
    path = house.postfix.configuration / "main.cf"
    path.write_bytes(house.main + b"# mine\n")
    house.refused("main.cf was changed since the edit of main.cf")


def test_a_change_that_somebody_insists_on_stands(house: Guarded) -> None:
    carry_out(replace(change_of(house.postfix, "main.cf", *LATER), guarded=False), house.site)
    house.ask()
    house.refused("is not guarded")


def test_what_would_break_postfix_by_now_is_not_taken_back(house: Guarded) -> None:
    """The old contents are tried like any others."""
    chain = house.postfix.directory / "ecdsa.pem"
    other = house.postfix.directory / "other.pem"
    other.write_bytes(chain.read_bytes())
    carry_out(change_of(house.postfix, "main.cf", "ecdsa.pem", "other.pem"), house.site)
    kept = chain.read_bytes()
    chain.unlink()
    try:
        house.ask()
        house.refused("nothing was changed: .*error opening chain file")
    finally:
        chain.write_bytes(kept)


@pytest.mark.parametrize("content", [b"", b"junk", b'{"change": "x"}'])
def test_a_request_that_cannot_be_read_is_a_sentence_and_goes(house: Guarded, content: bytes) -> None:
    house.asks.directory.mkdir(exist_ok=True)
    (house.asks.directory / REQUEST).write_bytes(content)
    with pytest.raises(StoreError, match="is not what it should be"):
        house.guard()
    assert not (house.asks.directory / REQUEST).exists()


def test_an_edit_in_place_is_guarded_from_the_reload_on(house: Guarded) -> None:
    path = house.postfix.configuration / "main.cf"
    now = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
    reload(house.site, now, keep=False)
    before = house.main
    path.write_bytes(before.replace(*(each.encode() for each in LATER)))
    age(path)
    reload(house.site, now, keep=False)
    house.ask()
    assert "the edit in place" in house.guard()[0]
    assert house.main == before


# --- edits in place ----------------------------------------------------------------------------------------------


def test_an_edit_in_place_is_examined_and_nothing_is_touched(house: Guarded) -> None:
    reload(house.site, clock(), keep=False)
    assert survey(house.site, clock).result == "fine"
    path = house.postfix.configuration / "main.cf"
    for old, new, result, words in (
        ("protocols = >=TLSv1.2", "protocols = TLSv9", "faults", "Invalid TLS protocol list"),
        ("notify_classes =", "nosuch_parameter = x\nnotify_classes =", "faults", "unused parameter: nosuch_parameter"),
        ("notify_classes =", "this is junk\nnotify_classes =", "unreadable", "missing '=' after attribute name"),
    ):
        good = house.main
        path.write_bytes(good.replace(old.encode(), new.encode(), 1))
        age(path)
        broken = house.main
        survey(house.site, clock)
        told = house.told.read(EXAMINATION, Examination)
        assert told is not None
        assert told.result == result
        assert words in " ".join(told.faults)
        assert str(house.site.workplace) not in " ".join(told.faults)
        assert house.main == broken
        assert not (house.site.workplace / "stage").exists()
        path.write_bytes(good)
        age(path)
    assert survey(house.site, clock, lambda _: ("the door legacy lacks a milter",)).drift != ()


@pytest.mark.parametrize("name", ["main.cf", "master.cf"])
def test_a_file_that_is_gone_is_told(house: Guarded, name: str) -> None:
    path = house.postfix.configuration / name
    good = path.read_bytes()
    path.unlink()
    found = survey(house.site, clock)
    path.write_bytes(good)
    age(path)
    assert found.result == "unreadable"
    assert f"{path}: No such file or directory" in found.faults[0]


def test_an_edit_that_nobody_saw_is_found_when_somebody_asks_for_news(house: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path unit is blind while an examination runs: here an edit comes right after the last look of one."""
    path = house.postfix.configuration / "main.cf"
    good, put = house.main, NoticeBoard.put

    def put_and_edit(board: NoticeBoard, name: str, note: BaseModel) -> None:
        put(board, name, note)
        path.write_bytes(good.replace(b"protocols = >=TLSv1.2", b"protocols = TLSv9", 1))
        age(path)

    with monkeypatch.context() as patch:
        patch.setattr(NoticeBoard, "put", put_and_edit)
        assert survey(house.site, clock).result == "fine"
    assert survey(house.site, clock, only_news=True).result == "faults"
    told = house.told.read(EXAMINATION, Examination)
    assert told is not None
    assert told.result == "faults"
    path.write_bytes(good)
    age(path)
    assert survey(house.site, clock, only_news=True).result == "fine", "what was mended is news too"
    with monkeypatch.context() as patch:
        patch.setattr(applysurvey, "examine", lambda *_, **__: pytest.fail("it was examined without need"))
        assert survey(house.site, clock, only_news=True).result == "fine"


def test_what_was_wrong_is_looked_at_again_without_an_edit(house: Guarded) -> None:
    """A missing table may be there by now, a door may have been mended by setup."""
    assert survey(house.site, clock, lambda _: ("the door legacy lacks a milter",)).drift != ()
    assert survey(house.site, clock, only_news=True).drift == ()
