"""What `setup` makes of the sslv3 door in a real Postfix's configuration, and takes back."""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from mailtls.core.gatewayrule import GatewaySettings
from mailtls.core.level import Level
from mailtls.core.tablepair import TablePair
from mailtls.service.applyderive import Derived, derive, drift
from mailtls.service.applygateway import KEY, GatewayMeans
from mailtls.service.applysetup import SetupRoom, plan_setup, setup, unsetup

from .certificates import KeyType
from .configuration import Settings
from .instance import PrivatePostfix, reserved_ports, wait_until, why_not
from .test_apply_doors import age, asked, postfix_reload, room_with_doors, view_of
from .test_gateway import answers

pytestmark = [pytest.mark.slow, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]

PORT = 10325
MEANS = GatewayMeans(GatewaySettings(listen=(f"0.0.0.0:{PORT}",)), why_no_tls=lambda: None)
STOCK = Settings(key_types=(KeyType.RSA,), protocols=">=TLSv1")
"""As Debian has it: no other door takes anything that its own does not."""


def room(postfix: PrivatePostfix, means: GatewayMeans = MEANS) -> SetupRoom:
    made = room_with_doors(postfix)
    return replace(made, doors=replace(made.doors, ports={**made.doors.ports, Level.SSLV3: PORT}, gateway=means))


def test_it_is_made_beside_a_strict_door_that_needs_no_other_and_goes_byte_for_byte() -> None:
    with PrivatePostfix(STOCK) as postfix:
        master, own = postfix.configuration / "master.cf", postfix.directory / "etc/mailtls/doors"
        before = master.read_bytes()
        said = setup(room(postfix)).notes
        assert any("encrypted with what can be broken" in note for note in said)
        (door,) = view_of(postfix).doors
        assert (door.level, door.port, door.entry, door.addresses) == (
            Level.SSLV3, PORT, "mailtls-sslv3/unix", (postfix.address,),
        )  # fmt: skip
        assert (postfix.directory / "queue/public/mailtls-sslv3").is_socket()
        assert (own / KEY).exists()
        assert drift(room(postfix)) == ()
        with_door = master.read_bytes()
        setup(room(postfix))
        assert master.read_bytes() == with_door, "done twice it changes nothing"
        assert_that_it_follows_port_25(postfix, room(postfix))

        master.write_text(master.read_text().replace("-o smtpd_upstream_proxy_protocol=haproxy", "-o disable_vrfy_command=yes"))
        age(master)
        assert any("-o smtpd_upstream_proxy_protocol is not there" in clause for clause in drift(room(postfix)))
        setup(room(postfix))
        assert master.read_bytes() == with_door, "drift is mended"

        unsetup(room(postfix))
        assert master.read_bytes() == before
        assert not own.exists()


def assert_that_it_follows_port_25(postfix: PrivatePostfix, room: SetupRoom) -> None:
    """What `edit` and `reload` would change with an edit of the entry, and nothing without one."""
    now = {name: (postfix.configuration / name).read_bytes() for name in ("main.cf", "master.cf")}
    assert derive(room, now) == Derived()
    edited = now["master.cf"].replace(b"smtpd\n", b"smtpd -o content_filter=discard:later\n", 1)
    changes = {each.path.name: each.new or b"" for each in derive(room, {**now, "master.cf": edited}).changes}
    assert changes["master.cf"].count(b"content_filter=discard:later") == 2


def test_whoever_names_other_doors_only_gets_none() -> None:
    with PrivatePostfix(Settings()) as postfix:
        setup(room(postfix))
        assert {door.level for door in view_of(postfix).doors} == {Level.LEGACY_RSA, Level.LEGACY, Level.SSLV3}
        fewer = room(postfix)
        setup(replace(fewer, doors=replace(fewer.doors, levels=(Level.LEGACY,)), patience_s=0.0))
        assert {door.level for door in view_of(postfix).doors} == {Level.LEGACY}
        assert "mailtls-sslv3" not in (postfix.configuration / "master.cf").read_text()
        assert "No door sslv3" not in " ".join(plan_setup(room(postfix)).notes), "it is not wanted"


GUIDE = Path(__file__).parent.parent.parent / "docs/operators-guide.md"


def test_the_entry_of_the_guide_lets_in_who_is_waived_and_puts_off_others() -> None:
    """With smtpd itself: what else it speaks is the site's affair."""
    entry = re.search(r"^    10325  inet .*\n(?:        .*\n)+", GUIDE.read_text("utf-8"), re.MULTILINE)
    assert entry is not None
    with PrivatePostfix(STOCK) as postfix:
        site = room(postfix, replace(MEANS, by_the_site=True))
        setup(site)
        site.tables.beside("sslv3").put(TablePair({"127.8.0.1": "mailtls_waived"}))
        master, tables = postfix.configuration / "master.cf", postfix.configuration / "mailtls"
        with ExitStack() as reservation:
            (port,) = reserved_ports(1, reservation)
        text = dedent(entry[0]).replace("/etc/postfix/mailtls", str(tables)).replace("lmdb:", f"{site.tables.kind}:")
        text = text.replace("10325", f"{postfix.address}:{port}").replace("  y  -", "  n  -")
        master.write_text(master.read_text() + text)
        age(master)
        postfix_reload(postfix)
        wait_until(lambda: answers(port))
        assert asked("127.8.0.1", port).startswith("250")
        assert asked("127.8.0.2", port).startswith("450 4.7.1")
        unsetup(site)
        assert text in master.read_text(), "it is the site's own"


def test_a_door_that_the_site_serves_is_led_to_and_has_no_entry() -> None:
    with PrivatePostfix(STOCK) as postfix:
        before = (postfix.configuration / "master.cf").read_bytes()
        site = replace(MEANS, by_the_site=True, why_no_tls=lambda: "no NSS")
        setup(room(postfix, site))
        (door,) = view_of(postfix).doors
        assert (door.level, door.port, door.entry) == (Level.SSLV3, PORT, "")
        assert b"mailtls-sslv3" not in (postfix.configuration / "master.cf").read_bytes()
        assert not (postfix.directory / "etc/mailtls/doors").exists()
        assert drift(room(postfix, site)) == ()
        unsetup(room(postfix, site))
        assert (postfix.configuration / "master.cf").read_bytes() == before


def test_without_nss_everything_else_is_made_and_the_note_says_why() -> None:
    with PrivatePostfix(STOCK) as postfix:
        without = replace(MEANS, why_no_tls=lambda: "NSS 9 does not speak SSLv3 any more")
        said = setup(room(postfix, without)).notes
        assert "No door sslv3: NSS 9 does not speak SSLv3 any more." in said
        assert view_of(postfix).doors == ()
