"""`setup` changes nothing for anybody, stands where it has to, and is taken back byte for byte."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from mailtls.config import read_config
from mailtls.core.tablepair import TablePair
from mailtls.errors import RefusedError
from mailtls.service.applysetup import plan_setup, setup, unsetup

from .applying import assert_that_killed_setup_leaves_nothing, mail_flowing, room_of
from .configuration import Settings
from .conversation import Conversation, Server
from .instance import PrivatePostfix, wait_until
from .programs import program

MAPS = "smtpd_discard_ehlo_keyword_address_maps"


@contextmanager
def a_postfix(settings: Settings | None = None) -> Iterator[PrivatePostfix]:
    with PrivatePostfix(settings) as postfix:
        (postfix.configuration / "own.cidr").write_text("127.6.0.0/24 chunking\n")
        yield postfix


@pytest.fixture(scope="module")
def plain() -> Iterator[PrivatePostfix]:
    with a_postfix() as postfix:
        yield postfix


def options(postfix: PrivatePostfix) -> dict[str, str]:
    """Ask Postfix which services name tables, and which."""
    command = ["postconf", "-c", postfix.configuration, "-P"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found = (line.partition(" = ") for line in lines)
    return {name: value for name, _, value in found if name.endswith("_address_maps")}


def keywords(postfix: PrivatePostfix, address: str, way_in: str = "smtp") -> frozenset[str]:
    with Conversation(address, Server(postfix.address, postfix.ports[way_in])) as conversation:
        conversation.greet()
    return conversation.keywords


def named(postfix: PrivatePostfix, way_in: str, kind: str = "inet") -> str:
    return f"{postfix.address}:{postfix.ports[way_in]}/{kind}"


def test_the_tables_stand_on_the_named_service_only_and_are_taken_out_byte_for_byte(plain: PrivatePostfix) -> None:
    room, master = room_of(plain), plain.configuration / "master.cf"
    before = master.read_bytes()
    with mail_flowing(plain) as stream:
        setup(room)
        assert options(plain) == {f"{named(plain, 'smtp')}/{MAPS}": ",".join(room.tables.names)}
        assert setup(room).notes == ("Postfix is set up for mailtls already; nothing was changed.",)
        room.tables.put(TablePair({"127.6.1.1": "starttls"}))
        assert "STARTTLS" not in keywords(plain, "127.6.1.1")
        assert "STARTTLS" in keywords(plain, "127.6.1.2")
        assert "STARTTLS" in keywords(plain, "127.6.1.1", "submission"), "only port 25 asks the tables"
        room.tables.put(TablePair())
        unsetup(room)
    assert stream.failures == []
    assert master.read_bytes() == before
    assert not room.view.exists()
    assert not room.record.exists()
    assert unsetup(room).notes == ("Postfix is not set up for mailtls; nothing was changed.",)


def test_ports_in_the_log_are_recommended_where_hellos_are_observed(plain: PrivatePostfix) -> None:
    room = room_of(plain)
    advice = [note for note in plan_setup(replace(room, observed=True)).notes if "smtpd_client_port_logging = yes" in note]
    assert len(advice) == 1
    assert advice[0].endswith("mailtlsctl edit main.cf.")
    assert not any("port_logging" in note for note in plan_setup(room).notes)
    (service,) = room.services
    master = plain.configuration / "master.cf"
    before = master.read_text()
    lines = before.splitlines()
    entry = next(number for number, line in enumerate(lines) if line.startswith(f"{service} "))
    lines[entry] += "\n  -o smtpd_client_port_logging=yes"
    master.write_text("\n".join(lines) + "\n")
    try:
        assert not any("port_logging" in note for note in plan_setup(replace(room, observed=True)).notes)
    finally:
        master.write_text(before)


def test_a_dry_run_prints_a_diff_and_changes_nothing(plain: PrivatePostfix) -> None:
    room, before = room_of(plain), (plain.configuration / "master.cf").read_bytes()
    diff = plan_setup(room).diff()
    assert f"\n+  -o {MAPS}={','.join(room.tables.names)}\n" in diff
    assert '\n+security_level = "may"\n' in diff
    assert (plain.configuration / "master.cf").read_bytes() == before
    assert not room.view.exists()


def test_what_the_service_does_by_itself_is_written_for_the_keeper() -> None:
    settings = Settings(
        extra={"smtpd_discard_ehlo_keywords": "chunking, silent-discard", MAPS: "cidr:$config_directory/own.cidr"}
    )
    with a_postfix(settings) as postfix:
        room = room_of(postfix)
        setup(room)
        tables = options(postfix)[f"{named(postfix, 'smtp')}/{MAPS}"]
        assert tables == ",".join((*room.tables.names, "cidr:$config_directory/own.cidr"))
        config = postfix.directory / "mailtls.toml"
        config.write_text(f'root = "{postfix.directory}"\n')
        view = read_config(str(config)).postfix
        assert view.discard_keywords == ("chunking", "silent-discard")
        assert view.discard_maps == (f"cidr:{postfix.configuration}/own.cidr",)
        assert (view.security_level, view.config_directory) == ("may", "/etc/postfix")
        assert "CHUNKING" not in keywords(postfix, "127.6.0.1"), "the operator's own table goes on being asked"


def test_a_changed_table_of_the_operator_is_taken_over_by_another_setup() -> None:
    with a_postfix(Settings(extra={MAPS: "cidr:$config_directory/own.cidr"})) as postfix:
        room, main = room_of(postfix), postfix.configuration / "main.cf"
        before = (postfix.configuration / "master.cf").read_bytes()
        setup(room)
        main.write_text(main.read_text().replace(f"{MAPS} = cidr:$config_directory/own.cidr", f"{MAPS} = "))
        setup(room)
        assert options(postfix)[f"{named(postfix, 'smtp')}/{MAPS}"] == ",".join(room.tables.names)
        unsetup(room)
        assert (postfix.configuration / "master.cf").read_bytes() == before


def test_another_setup_moves_the_tables_to_other_services(plain: PrivatePostfix) -> None:
    before = (plain.configuration / "master.cf").read_bytes()
    setup(room_of(plain, "smtp"))
    setup(room_of(plain, "submission"))
    assert set(options(plain)) == {f"{named(plain, 'submission')}/{MAPS}"}
    unsetup(room_of(plain))
    assert (plain.configuration / "master.cf").read_bytes() == before


def test_with_postscreen_the_tables_stand_at_both_places(plain: PrivatePostfix) -> None:
    room, before = room_of(plain, "postscreen"), (plain.configuration / "master.cf").read_bytes()
    with mail_flowing(plain) as stream:
        setup(room)
        assert set(options(plain)) == {
            f"smtpd/pass/{MAPS}",
            f"{named(plain, 'postscreen')}/postscreen_discard_ehlo_keyword_address_maps",
        }
        room.tables.put(TablePair({"127.6.1.1": "starttls"}))
        # postscreen looks for a changed table at most once a second (postscreen/postscreen.c).
        assert wait_until(lambda: "STARTTLS" not in keywords(plain, "127.6.1.1", "postscreen"))
        assert "STARTTLS" in keywords(plain, "127.6.1.2", "postscreen")
        room.tables.put(TablePair())
        unsetup(room)
    assert (plain.configuration / "master.cf").read_bytes() == before
    assert stream.failures == []


REFUSED = [
    # options of the port-25 service, parameters of main.cf, words of the refusal
    (("smtpd_tls_security_level=encrypt",), {}, "insists on TLS"),
    ((), {"smtpd_tls_security_level": "encrypt"}, "insists on TLS"),
    ((), {MAPS: "lmdb:{directory}/etc/postfix/mailtls/discard"}, "main.cf names the tables of mailtls"),
]


@pytest.mark.parametrize(("own", "extra", "words"), REFUSED)
def test_what_cannot_be_set_up_is_refused_with_a_sentence(
    own: tuple[str, ...], extra: dict[str, str], words: str
) -> None:
    with a_postfix(Settings(options={"smtp": own})) as postfix:
        main = postfix.configuration / "main.cf"
        lines = "".join(f"{name} = {value.format(directory=postfix.directory)}\n" for name, value in extra.items())
        main.write_text(main.read_text() + lines)
        before = (postfix.configuration / "master.cf").read_bytes()
        with pytest.raises(RefusedError, match=words):
            setup(room_of(postfix))
        assert (postfix.configuration / "master.cf").read_bytes() == before


def test_services_that_hide_different_keywords_are_refused() -> None:
    settings = Settings(options={"submission": ("smtpd_discard_ehlo_keywords=dsn",)})
    with a_postfix(settings) as postfix, pytest.raises(RefusedError, match="hide different EHLO keywords"):
        setup(room_of(postfix, "smtp", "submission"))


@pytest.mark.parametrize(
    ("services", "words"), [(("10025",), "no inet service 10025"), ((), "no service of master.cf listens on port 25")]
)
def test_a_service_that_is_not_there_is_refused(plain: PrivatePostfix, services: tuple[str, ...], words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        plan_setup(replace(room_of(plain), services=services))


def test_unsetup_without_a_record_and_after_an_edit_takes_only_our_words_out(plain: PrivatePostfix) -> None:
    room, master = room_of(plain), plain.configuration / "master.cf"
    before = master.read_bytes()
    setup(room)
    room.record.unlink()
    text = master.read_text()
    master.write_text(text.replace(room.tables.names[1], f"{room.tables.names[1]},cidr:{plain.configuration}/own.cidr"))
    notes = unsetup(room).notes
    assert any("only these words were taken out" in note for note in notes)
    assert options(plain) == {f"{named(plain, 'smtp')}/{MAPS}": f"cidr:{plain.configuration}/own.cidr"}
    master.write_bytes(before)


@pytest.mark.parametrize(
    "step", ["swapping", "swapped postfix.toml", "swapped setup.json", "swapped master.cf", "reloaded"]
)
def test_a_setup_that_is_killed_leaves_nothing(plain: PrivatePostfix, step: str) -> None:
    assert_that_killed_setup_leaves_nothing(plain, room_of(plain), step)


def test_the_program_does_it_all(plain: PrivatePostfix) -> None:
    config = plain.directory / "mailtls.toml"
    config.write_text(f'root = "{plain.directory}"\n[log]\nfiles = ["/log/mail.log"]\n')
    before = (plain.configuration / "master.cf").read_bytes()
    service = f"{plain.address}:{plain.ports['smtp']}"
    ran = {
        name: subprocess.run([program("mailtls-apply"), "--config", config, *words], capture_output=True, text=True)
        for name, words in {
            "try": ("setup", "--dry-run", "--service", service),
            "setup": ("setup", "--service", service),
            "again": ("setup", "--service", service),
            "wrong": ("setup", "--service", "nosuch"),
            "unsetup": ("unsetup",),
            "recover": ("--recover",),
            "usage": (),
        }.items()
    }
    assert {name: each.returncode for name, each in ran.items()} == {
        "try": 0, "setup": 0, "again": 0, "wrong": 4, "unsetup": 0, "recover": 0, "usage": 2,
    }, ran  # fmt: skip
    assert "+  -o " in ran["try"].stdout
    assert ran["setup"].stdout.endswith("Postfix is set up.\n")
    assert "nothing was changed" in ran["again"].stdout
    assert "no inet service nosuch" in ran["wrong"].stderr
    assert "as it was before setup" in ran["unsetup"].stdout
    assert "Traceback" not in json.dumps({name: each.stderr for name, each in ran.items()})
    assert (plain.configuration / "master.cf").read_bytes() == before


@pytest.mark.parametrize("command", ["setup", "unsetup", "reload", "--recover"])
def test_only_root_may(plain: PrivatePostfix, command: str) -> None:
    words = ["setpriv", "--reuid", "65534", "--clear-groups", program("mailtls-apply"), command]
    ran = subprocess.run(words, capture_output=True, text=True, check=False, cwd="/", env={"PATH": "/usr/bin"})
    assert ran.returncode == 4
    assert ran.stderr == "mailtlsctl: Postfix's configuration is changed by root only; run this with sudo\n"
