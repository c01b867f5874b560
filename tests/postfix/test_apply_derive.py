"""What setup made is derived again in the transaction that changes what it comes from; an edit in place is drift."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailtls.core.level import Level
from mailtls.errors import RefusedError
from mailtls.service import applyreload
from mailtls.service.applyderive import Derived, derive, drift
from mailtls.service.applyedit import edit
from mailtls.service.applyhooks import HookWishes
from mailtls.service.applyplan import FileChange
from mailtls.service.applyrecover import recover
from mailtls.service.applyreload import PutBackError, reload
from mailtls.service.applysetup import SetupRoom, setup, unsetup

from .applying import age, mail_flowing, room_of
from .certificates import KeyType
from .configuration import ADDRESS
from .conversation import Conversation, Server
from .instance import PrivatePostfix
from .test_apply_doors import door_of, postfix_reload, room_with_doors, view_of

pytestmark = pytest.mark.slow

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
LATER = "content_filter=discard:later"


@dataclass(frozen=True, slots=True)
class House:
    """A Postfix with doors, and what edit and reload are given to derive them again."""

    postfix: PrivatePostfix
    room: SetupRoom

    @property
    def master(self) -> Path:
        return self.postfix.configuration / "master.cf"

    @property
    def main(self) -> Path:
        return self.postfix.configuration / "main.cf"

    @property
    def entry(self) -> str:
        return f"{ADDRESS}:{self.postfix.ports['smtp']} inet n - n - - smtpd"

    def derive(self, contents: Mapping[str, bytes]) -> Derived:
        return derive(self.room, contents)

    def edit(self, name: str, old: str, new: str) -> tuple[str, ...]:
        def editor(path: Path) -> None:
            text = path.read_text()
            assert old in text
            path.write_text(text.replace(old, new, 1))

        return edit(self.room.site, name, editor, lambda _: False, derive=self.derive).notes

    def in_place(self, path: Path, old: str, new: str) -> None:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        age(path)

    def reload(self, *, keep: bool = False) -> tuple[str, ...]:
        return reload(self.room.site, NOW, keep=keep, derive=self.derive).notes


@pytest.fixture(scope="module")
def doors() -> Iterator[House]:
    with PrivatePostfix() as postfix:
        house = House(postfix, room_with_doors(postfix))
        setup(house.room)
        yield house
        unsetup(house.room)


@pytest.fixture
def house(doors: House) -> Iterator[House]:
    """Whatever a test does to the files is undone."""
    files = (doors.main, doors.master, doors.room.view, doors.room.record)
    before = [path.read_bytes() for path in files]
    yield doors
    for path, content in zip(files, before, strict=True):
        path.write_bytes(content)
        age(path)
    postfix_reload(doors.postfix)


def again(notes: tuple[str, ...]) -> list[str]:
    return [note for note in notes if "derived again" in note]


def test_an_edit_of_the_port_25_service_changes_its_doors_in_the_same_transaction(house: House) -> None:
    reloads = sum("reload -- version" in line for line in house.postfix.lines())
    with mail_flowing(house.postfix) as stream:
        notes = house.edit("master.cf", house.entry, f"{house.entry}\n  -o {LATER}")
    assert stream.failures == []
    assert sum("reload -- version" in line for line in house.postfix.lines()) == reloads + 1
    assert house.master.read_text().count(LATER) == 3
    (said,) = again(notes)
    assert all(door.entry in said for door in view_of(house.postfix).doors)
    assert drift(house.room) == ()


def test_an_edit_of_main_cf_changes_the_doors_that_copy_it_and_the_view(house: House) -> None:
    """The second lock holds the site's own client restrictions; the view says whose network gets no door."""
    own = "smtpd_client_restrictions = check_client_access inline:{127.8.0.9=REJECT}\nmynetworks = 127.1.0.0/16"
    notes = house.edit("main.cf", "mynetworks = ", own)
    assert len(again(notes)) == 1
    assert house.master.read_text().count("127.8.0.9=REJECT") == 2
    assert view_of(house.postfix).own_networks == ("127.1.0.0/16",)
    assert drift(house.room) == ()


def test_an_edit_that_touches_no_door_says_nothing_of_them(house: House) -> None:
    before = house.room.view.read_bytes(), house.room.record.read_bytes(), house.master.read_bytes()
    assert again(house.edit("main.cf", "notify_classes =", "smtpd_timeout = 299s\nnotify_classes =")) == []
    assert (house.room.view.read_bytes(), house.room.record.read_bytes(), house.master.read_bytes()) == before


def test_a_new_floor_of_the_strict_door_is_told_to_the_keeper(house: House) -> None:
    notes = house.edit("main.cf", "smtpd_tls_protocols = >=TLSv1.2", "smtpd_tls_protocols = >=TLSv1.3")
    strict = view_of(house.postfix).strict
    assert strict is not None
    assert strict.versions == ("TLSv1.3",)
    assert notes[-1] == "What mailtls knows of the port-25 service was brought up to date."


def test_a_refused_edit_leaves_the_doors_as_they_were(house: House) -> None:
    before = house.room.view.read_bytes(), house.room.record.read_bytes(), house.master.read_bytes()
    with pytest.raises(RefusedError, match="bad time value or unit: abc"):
        house.edit("master.cf", house.entry, f"{house.entry}\n  -o {LATER} -o smtpd_timeout=abc")
    assert (house.room.view.read_bytes(), house.room.record.read_bytes(), house.master.read_bytes()) == before


def test_an_edit_that_no_door_survives_is_carried_out_and_the_doors_wait_for_setup(house: House) -> None:
    """Where the strict door takes TLS 1.0 and has an RSA certificate no door is of use; who is there is not cut off."""
    chains = ", ".join(str(house.postfix.certificates[kind].chain) for kind in KeyType)
    text = house.main.read_text().replace(">=TLSv1.2", ">=TLSv1").replace(
        f"smtpd_tls_chain_files = {house.postfix.certificates[KeyType.ECDSA].chain}", f"smtpd_tls_chain_files = {chains}"
    )  # fmt: skip
    with pytest.raises(RefusedError, match="would not be needed any more, and would go"):
        house.derive({"main.cf": text.encode(), "master.cf": house.master.read_bytes()})


def test_an_edit_in_place_is_drift_until_a_reload_that_takes_it_over(house: House) -> None:
    house.in_place(house.master, house.entry, f"{house.entry}\n  -o {LATER}")
    assert any("run mailtlsctl setup" in clause for clause in drift(house.room))
    with mail_flowing(house.postfix) as stream:
        assert again(house.reload(keep=True)) == []
        assert house.master.read_text().count(LATER) == 1, "with --keep nothing is changed"
        assert len(again(house.reload())) == 1
    assert stream.failures == []
    assert house.master.read_text().count(LATER) == 3
    assert drift(house.room) == ()
    assert again(house.reload()) == []


def test_an_edit_of_main_cf_in_place_makes_the_view_drift(house: House) -> None:
    house.in_place(house.main, "smtpd_tls_protocols = >=TLSv1.2", "smtpd_tls_protocols = >=TLSv1.3")
    (clause,) = drift(house.room)
    assert clause == f"{house.room.view} is not so any more: strict; run mailtlsctl setup"
    assert house.reload() == ("What mailtls knows of the port-25 service was brought up to date.",)
    assert drift(house.room) == ()


def test_what_setup_copied_from_main_cf_is_drift_once_main_cf_says_something_else() -> None:
    """Else a milter that the site adds there would never be asked at port 25, and nobody would say so."""
    with PrivatePostfix() as postfix:
        (postfix.directory / "queue/mailtls").mkdir()
        asking = HookWishes(policy=True, socket=postfix.directory / "queue/mailtls/policy")
        house = House(postfix, replace(room_of(postfix), hooks=asking))
        setup(house.room)
        assert drift(house.room) == ()
        house.in_place(house.main, "notify_classes =", "smtpd_data_restrictions = permit\nnotify_classes =")
        (said,) = drift(house.room)
        assert "smtpd_data_restrictions" in said and "mailtlsctl setup" in said
        setup(house.room)
        assert drift(house.room) == ()


def test_a_broken_edit_in_place_is_put_aside_and_the_doors_stay(house: House) -> None:
    assert house.reload() == ()
    before = house.room.view.read_bytes(), house.room.record.read_bytes(), house.master.read_bytes()
    house.in_place(house.master, house.entry, f"{house.entry}\n  -o {LATER} -o smtpd_timeout=abc")
    with pytest.raises(PutBackError, match="bad time value or unit: abc"):
        house.reload()
    assert (house.room.view.read_bytes(), house.room.record.read_bytes(), house.master.read_bytes()) == before


def test_where_a_port_is_not_right_after_the_reload_the_derived_doors_go_back_too(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.reload()
    before = house.room.view.read_bytes(), house.room.record.read_bytes(), house.master.read_bytes()
    house.in_place(house.master, house.entry, f"{house.entry}\n  -o {LATER}")
    with monkeypatch.context() as patch:
        patch.setattr(applyreload, "verify", lambda *_: ("it is not as it should be",))
        with pytest.raises(PutBackError, match="after the reload it is not as it should be"):
            house.reload()
    assert (house.room.view.read_bytes(), house.room.record.read_bytes(), house.master.read_bytes()) == before
    assert house.reload() == ()


def test_where_only_the_doors_changed_postfix_takes_what_was_put_back_too(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody edited in place is put back with a reload; here nobody did, as when a certificate came."""
    house.reload()
    before = house.master.read_bytes()

    def derived(contents: Mapping[str, bytes]) -> Derived:
        new = contents["master.cf"].replace(b"postfix/mailtls-legacy\n", b"postfix/mailtls-later\n")
        assert new != before
        return Derived((FileChange(house.master, before, new),))

    with monkeypatch.context() as patch:
        patch.setattr(applyreload, "verify", lambda *_: ("it is not as it should be",))
        with pytest.raises(RefusedError, match="it is not as it should be"):
            reload(house.room.site, NOW, keep=False, derive=derived)
    assert house.master.read_bytes() == before
    (port,) = (door.port for door in view_of(house.postfix).doors if door.level is Level.LEGACY)
    with Conversation("127.7.6.5", Server(house.postfix.address, port)) as conversation:
        conversation.greet()
        conversation.quit()
    house.postfix.wait_for(r" postfix/mailtls-legacy/smtpd\[\d+\]: disconnect from \S+\[127\.7\.6\.5\]")


def test_what_somebody_edited_of_a_door_is_not_lost_without_a_word(house: House) -> None:
    named = "syslog_name=postfix/mailtls-legacy\n"
    house.in_place(house.master, named, f"{named}  -o smtpd_timeout=77s\n")
    assert house.reload() == ()
    assert "smtpd_timeout=77s" in house.master.read_text(), "drift, which nobody puts right"
    notes = house.edit("master.cf", house.entry, f"{house.entry}\n  -o {LATER}")
    assert "smtpd_timeout=77s" not in house.master.read_text()
    assert len([note for note in notes if "was edited since mailtls put it there" in note]) == 1
    assert len(again(notes)) == 1


def test_a_reload_that_is_killed_when_the_doors_are_derived_is_healed(house: House) -> None:
    house.reload()
    house.in_place(house.master, house.entry, f"{house.entry}\n  -o {LATER}")
    edited = house.room.view.read_bytes(), house.room.record.read_bytes(), house.master.read_bytes()
    child = os.fork()
    if not child:
        applyreload.verify = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
        house.reload()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert "taken back" in recover(house.room.site.workplace).notes[0]
    assert (house.room.view.read_bytes(), house.room.record.read_bytes(), house.master.read_bytes()) == edited
    assert len(again(house.reload())) == 1


@contextmanager
def struck(room: SetupRoom) -> Iterator[None]:
    """Leave the view as a setup leaves it that was killed while it waited."""
    made = room.view.read_text()
    room.view.write_text(made.partition("[[doors]]")[0])
    yield
    room.view.write_text(made)


def test_nothing_is_derived_where_nothing_is_known(house: House) -> None:
    contents = {"main.cf": house.main.read_bytes(), "master.cf": house.master.read_bytes()}
    with struck(house.room), pytest.raises(RefusedError, match="does not name the doors that there are"):
        house.derive(contents)
    assert derive(replace(house.room, record=house.room.record.with_name("none.json")), contents) == Derived()
    assert house.derive(contents) == Derived()
    assert door_of(house.postfix, Level.LEGACY)
