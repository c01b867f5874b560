"""`setup --milter` on a real Postfix: our milter in front of the site's own, on port 25 and its doors only."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from tests.edge.milterprocess import LIBRARY, MilterProcess

from mailtls.core.cause import Door
from mailtls.core.factsparcel import FactsParcel
from mailtls.core.level import Level
from mailtls.core.mastercf import parse_master_cf
from mailtls.core.milterentry import ELEMENT, SOCKET
from mailtls.core.smtpfacts import SmtpFacts
from mailtls.core.tablepair import TablePair
from mailtls.core.verdict import Snapshot
from mailtls.errors import RefusedError
from mailtls.service.applyhooks import HookWishes
from mailtls.service.applysetup import SetupRoom, plan_setup, setup, unsetup

from .applying import room_of
from .configuration import Settings
from .conversation import Conversation, Server
from .handshakes import openssl
from .instance import PrivatePostfix
from .milterserver import MilterServer
from .test_apply_doors import LISTED, door_of, room_with_doors, view_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not LIBRARY, reason="pymilter is not installed (Debian's python3-milter)"),
]
MILTER, NO_MILTER = HookWishes(milter=True), HookWishes(milter=False)


@contextmanager
def beside(postfix: PrivatePostfix) -> Iterator[MilterProcess]:
    """Run mailtls-milter where this Postfix looks for it."""
    place = postfix.directory / "queue" / SOCKET
    place.parent.mkdir(parents=True, exist_ok=True)
    with MilterProcess(Snapshot(), place=place) as milter:
        yield milter


def master_cf(postfix: PrivatePostfix) -> str:
    return (postfix.configuration / "master.cf").read_text()


def milters_of(postfix: PrivatePostfix, way: str) -> str | None:
    service = parse_master_cf(master_cf(postfix)).find(f"{postfix.address}:{postfix.ports[way]}/inet")
    assert service is not None
    return service.overrides.get("smtpd_milters")


def deliver(postfix: PrivatePostfix, port: int | None = None, source: str = "127.0.0.9") -> None:
    with Conversation(source, Server(postfix.address, port or postfix.ports["smtp"])) as client:
        client.secure(openssl(ssl.TLSVersion.TLSv1_2))
        client.deliver()
        client.quit()


def told(milter: MilterProcess) -> SmtpFacts:
    parcel = milter.hear()
    assert isinstance(parcel, FactsParcel)
    return parcel.facts


def test_ours_goes_in_front_of_the_sites_own_wherever_they_stand_and_out_again_byte_for_byte() -> None:
    with MilterServer() as own:
        address = f"inet:127.0.0.1:{own.port}"
        options = {
            "submission": (f"smtpd_milters={address}",),
            "smtps": (f"{{{{ smtpd_milters = {address}, }}}}",),
            "legacy": ("smtpd_milters=",),
        }
        ways = ("smtp", *options)
        with PrivatePostfix(Settings(extra={"smtpd_milters": address}, options=options)) as postfix, beside(postfix) as milter:
            before = master_cf(postfix)
            room = replace(room_of(postfix, *ways), hooks=MILTER)
            setup(room)
            assert [milters_of(postfix, way) for way in ways] == [
                f"{ELEMENT},{address}", f"{ELEMENT},{address}", f"{ELEMENT},{address},", ELEMENT,
            ]  # fmt: skip
            assert view_of(postfix).milter
            for way in ("smtp", "submission", "legacy"):
                deliver(postfix, postfix.ports[way])
                assert told(milter).encryption_protocol == "TLSv1.2"
            assert len(own.messages) == 2
            assert plan_setup(replace(room, hooks=HookWishes())).is_nothing, "what nobody asks about stays"
            path = postfix.configuration / "master.cf"
            head, _, tail = master_cf(postfix).rpartition("command_timeout=5s")
            path.write_text(f"{head}command_timeout=9s{tail}")
            unsetup(room)
            assert master_cf(postfix) == before


def test_a_milter_that_does_not_run_is_not_made_known_and_a_dry_run_shows_it() -> None:
    with PrivatePostfix(Settings()) as postfix:
        before = master_cf(postfix)
        room = replace(room_of(postfix), hooks=MILTER)
        assert ELEMENT in plan_setup(room).diff()
        with pytest.raises(RefusedError, match="first: systemctl enable --now mailtls-milter"):
            setup(room)
        assert master_cf(postfix) == before


def test_the_doors_tell_the_milter_which_of_them_they_are_until_it_is_taken_out() -> None:
    with PrivatePostfix(Settings()) as postfix, beside(postfix) as milter:
        room: SetupRoom = replace(room_with_doors(postfix), hooks=MILTER)
        setup(room)
        for level, door in ((Level.LEGACY_RSA, Door.LEGACY_RSA), (Level.LEGACY, Door.LEGACY)):
            room.tables.beside(level.value).put(TablePair({LISTED: "mailtls_waived"}))
            deliver(postfix, door_of(postfix, level).port, LISTED)
            assert told(milter).door({}) is door
        deliver(postfix)
        assert told(milter).door({}) is Door.STRICT
        setup(replace(room, hooks=NO_MILTER))
        assert "milter" not in master_cf(postfix)
        assert view_of(postfix).doors and not view_of(postfix).milter
