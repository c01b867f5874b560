"""After an older /etc came back from a backup, with our words or without: it works, or is refused with a sentence."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from mailtls.errors import RefusedError
from mailtls.service.applyreload import reload
from mailtls.service.applysetup import setup, unsetup
from mailtls.service.applysurvey import survey

from .applying import age, mail_flowing, room_of, site_of
from .instance import PrivatePostfix
from .test_apply_guard import clock
from .test_apply_setup import MAPS, named, options


@pytest.fixture
def postfix() -> Iterator[PrivatePostfix]:
    with PrivatePostfix() as postfix:
        yield postfix


def restore(postfix: PrivatePostfix, content: bytes) -> None:
    path = postfix.configuration / "master.cf"
    path.write_bytes(content)
    age(path)
    reload(site_of(postfix), clock(), keep=True)


def test_an_older_master_cf_without_our_words_is_set_up_again_or_left(postfix: PrivatePostfix) -> None:
    room, before = room_of(postfix), (postfix.configuration / "master.cf").read_bytes()
    with mail_flowing(postfix) as stream:
        setup(room)
        restore(postfix, before)
        setup(room)
        assert options(postfix) == {f"{named(postfix, 'smtp')}/{MAPS}": ",".join(room.tables.names)}
        restore(postfix, before)
        unsetup(room)
    assert (postfix.configuration / "master.cf").read_bytes() == before
    assert not room.view.exists()
    assert not room.record.exists()
    assert stream.failures == []


def test_an_older_master_cf_with_our_words_is_taken_over_or_swept(postfix: PrivatePostfix) -> None:
    room, before = room_of(postfix), (postfix.configuration / "master.cf").read_bytes()
    setup(room)
    ours = (postfix.configuration / "master.cf").read_bytes()
    unsetup(room)
    with mail_flowing(postfix) as stream:
        restore(postfix, ours)
        setup(room)
        assert options(postfix) == {f"{named(postfix, 'smtp')}/{MAPS}": ",".join(room.tables.names)}
        unsetup(room)
        restore(postfix, ours)
        unsetup(room)
    assert (postfix.configuration / "master.cf").read_bytes() == before
    assert stream.failures == []


def test_our_words_without_the_tables_are_refused_and_setup_mends_them(postfix: PrivatePostfix) -> None:
    """The worst of them: every client would be told 421."""
    room = room_of(postfix)
    setup(room)
    ours = (postfix.configuration / "master.cf").read_bytes()
    unsetup(room)
    shutil.rmtree(postfix.configuration / "mailtls")
    path = postfix.configuration / "master.cf"
    path.write_bytes(ours)
    age(path)
    with mail_flowing(postfix) as stream:
        assert "421 4.3.0" in " ".join(survey(site_of(postfix), clock).faults)
        with pytest.raises(RefusedError, match=r"421 4\.3\.0"):
            reload(site_of(postfix), clock(), keep=True)
        setup(room)
        reload(site_of(postfix), clock(), keep=True)
        assert options(postfix) == {f"{named(postfix, 'smtp')}/{MAPS}": ",".join(room.tables.names)}
    assert stream.failures == []
