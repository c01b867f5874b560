"""The tables that Postfix reads, built with the real postmap and asked with it."""

from __future__ import annotations

import errno
import os
import random
import shutil
import threading
from pathlib import Path

import pytest
from tests.edge.tables import KINDS, needs, tables_in, unchanged
from tests.tabletypes import KIND

from mailtls.core.tablepair import EMPTY, TablePair
from mailtls.edge import posttable as module
from mailtls.edge.postmap import Postmap
from mailtls.edge.posttable import PostTables
from mailtls.errors import PostfixError

pytestmark = [pytest.mark.postfix, needs(KIND)]

BOTH = TablePair({"192.0.2.7": "dsn starttls", "2001:db8::7": "starttls"}, (("198.51.100.0/24", "starttls"),))
KEYS = ("192.0.2.7", "2001:db8::7", "198.51.100.9", "192.0.2.8")


def asked(tables: PostTables, *keys: str) -> dict[str, str]:
    """Ask as smtpd does, by a postmap that has not seen the tables before."""
    return Postmap(tables.directory.parent / "other").answers(tables.names, keys)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_put_is_what_a_look_up_says(tmp_path: Path, kind: str) -> None:
    tables = tables_in(tmp_path, kind)
    assert tables.put(BOTH)
    assert asked(tables, *KEYS) == {"192.0.2.7": "dsn starttls", "2001:db8::7": "starttls", "198.51.100.9": "starttls"}
    assert tables.differing(BOTH, KEYS) == set()
    assert tables_in(tmp_path, kind).held() == BOTH, "another process reads the same"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("few", [0, 64], ids=["anew", "as a copy"])
def test_any_change_leads_from_any_table_to_any_other(
    tmp_path: Path, kind: str, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ways of building give the same; 0 changes allowed in a copy means that each is built anew."""
    monkeypatch.setattr(module, "FEW", few)
    tables, draw = tables_in(tmp_path, kind), random.Random(3)
    for _ in range(12):
        hosts = {
            f"192.0.2.{draw.randrange(40)}": draw.choice(["starttls", "dsn starttls"])
            for _ in range(draw.randrange(30))
        }
        networks = tuple((f"198.51.{draw.randrange(9)}.0/24", "starttls") for _ in range(draw.randrange(3)))
        wanted = TablePair(hosts, networks)
        tables.put(wanted)
        assert tables_in(tmp_path, kind).held() == wanted
        assert tables.differing(wanted, [f"192.0.2.{n}" for n in range(40)]) == set()


def test_putting_what_is_there_touches_no_file(tmp_path: Path) -> None:
    tables = tables_in(tmp_path)
    tables.put(BOTH)
    before = [unchanged(path) for path in (tables.hosts, tables.networks)]
    assert not tables.put(BOTH)
    assert not tables_in(tmp_path).put(BOTH), "after a restart neither"
    assert [unchanged(path) for path in (tables.hosts, tables.networks)] == before


def test_every_change_renames_the_host_table_so_that_smtpd_reads_both(tmp_path: Path) -> None:
    """Also one in the cidr file alone, which smtpd would not notice (facts 11.1)."""
    tables = tables_in(tmp_path)
    tables.put(BOTH)
    inode = tables.hosts.stat().st_ino
    tables.put(TablePair(BOTH.hosts, ()))
    assert tables.hosts.stat().st_ino != inode
    assert asked(tables, "198.51.100.9") == {}


def test_files_and_directory_are_root_s_and_readable_for_everybody(tmp_path: Path) -> None:
    tables = tables_in(tmp_path)
    old = os.umask(0o077)
    try:
        tables.put(BOTH)
    finally:
        os.umask(old)
    for path, mode in ((tables.hosts, 0o644), (tables.networks, 0o644), (tables.directory, 0o755)):
        assert (path.stat().st_mode & 0o777, path.stat().st_uid) == (mode, os.geteuid())
    assert sorted(path.name for path in tables.directory.iterdir()) == sorted([tables.hosts.name, tables.networks.name])


@pytest.mark.parametrize("spoil", ["remove", "empty", "garbage", "other entries", "remove networks", "binary networks"])
def test_what_somebody_spoiled_is_noticed_and_mended(tmp_path: Path, spoil: str) -> None:
    tables = tables_in(tmp_path)
    tables.put(BOTH)
    match spoil:
        case "remove":
            tables.hosts.unlink()
        case "empty":
            tables.hosts.write_bytes(b"")
        case "garbage":
            tables.hosts.write_bytes(os.urandom(20_000))
        case "other entries":
            Postmap(tmp_path / "x").change(tables.names[0], {"192.0.2.99": "starttls"}, ["192.0.2.7"])
        case "remove networks":
            tables.networks.unlink()
        case _:
            tables.networks.write_bytes(os.urandom(2000))
    assert tables.put(BOTH)
    assert tables_in(tmp_path).held() == BOTH


@pytest.mark.parametrize("left", ["discard.new", "discard.new.lmdb", "discard.new.db", "discard.cidr.new"])
def test_what_a_killed_predecessor_left_half_built_is_cleared_away(tmp_path: Path, left: str) -> None:
    tables = tables_in(tmp_path)
    tables.put(BOTH)
    (tables.directory / left).write_bytes(b"10.0.0.1 junk\n" * 3)
    wanted = TablePair({"192.0.2.1": "starttls"}, ())
    tables.put(wanted)
    assert tables_in(tmp_path).held() == wanted
    assert len(list(tables.directory.iterdir())) == 2


def test_a_table_is_never_missing_or_wrong_while_it_is_changed(tmp_path: Path) -> None:
    """One address is always in it; somebody who asks all the time always finds it."""
    tables, stop, wrong = tables_in(tmp_path), threading.Event(), []
    always = {"192.0.2.7": "starttls"}
    tables.put(TablePair(always))

    def ask() -> None:
        postmap = Postmap(tmp_path / "asking")
        while not stop.is_set():
            try:
                found = postmap.answers(tables.names, ("192.0.2.7",))
            except PostfixError as error:
                wrong.append(str(error))
            else:
                if found != always:
                    wrong.append(str(found))

    asking = threading.Thread(target=ask)
    asking.start()
    for number in range(60):
        networks = (("198.51.100.0/24", "starttls"),) if number % 3 else ()
        many = {f"10.0.{number}.{n}": "starttls" for n in range(2 if number % 2 else 200)}
        tables.put(TablePair({**always, **many}, networks))
    stop.set()
    asking.join()
    assert not wrong


@pytest.mark.parametrize("where", ["etc", "etc/postfix", "etc/postfix/mailtls"])
def test_nothing_is_written_where_others_than_root_could_swap_it(tmp_path: Path, where: str) -> None:
    tables = tables_in(tmp_path)
    tables.put(EMPTY)
    (tmp_path / where).chmod(0o777)
    with pytest.raises(PostfixError, match=f"{where} may be written by others"):
        tables.put(BOTH)
    assert tables_in(tmp_path).held() == EMPTY


def test_a_postfix_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    tables = PostTables(tmp_path / "etc/postfix/mailtls", tmp_path, KIND, Postmap(tmp_path / "postmap"))
    with pytest.raises(PostfixError, match=r"the tables are not written: .*no such file"):
        tables.put(BOTH)


def test_a_full_disk_leaves_the_old_tables_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = tables_in(tmp_path)
    tables.put(EMPTY)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        with pytest.raises(PostfixError, match=r"no space left on device.*tried again"):
            tables.put(BOTH)
    assert tables_in(tmp_path).held() == EMPTY
    assert tables.put(BOTH)


@needs(KIND)
def test_a_full_disk_at_the_boot_is_a_sentence_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    tables = tables_in(tmp_path)
    monkeypatch.setattr(module, "_write", full)
    with pytest.raises(PostfixError, match=r"discard\.cidr\.new: read-only file system; Postfix answers 421 to every client"):
        tables.ensure()


def test_a_table_type_that_is_not_installed_says_which_package_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = tmp_path / "bin"
    lacking.mkdir()
    (lacking / "postmap").write_text(
        "#!/bin/sh\necho 'postmap: fatal: unsupported dictionary type: lmdb' >&2; exit 1\n"
    )
    (lacking / "postmap").chmod(0o755)
    monkeypatch.setattr("mailtls.edge.postmap.COMMAND", str(lacking / "postmap"))
    with pytest.raises(PostfixError, match="install the package postfix-lmdb, or write table_type"):
        tables_in(tmp_path, "lmdb").put(BOTH)


# --- for the boot ------------------------------------------------------------------------------------------------


def test_missing_tables_are_made_empty_and_valid(tmp_path: Path) -> None:
    tables = tables_in(tmp_path)
    assert set(tables.ensure()) == set(tables.names)
    assert tables.held() == EMPTY
    assert asked(tables, "192.0.2.7") == {}
    assert tables.ensure() == ()


@pytest.mark.parametrize("which", ["hosts", "networks"])
def test_the_boot_makes_what_is_missing_and_touches_nothing_valid(tmp_path: Path, which: str) -> None:
    tables = tables_in(tmp_path)
    tables.put(BOTH)
    missing, valid = (tables.hosts, tables.networks) if which == "hosts" else (tables.networks, tables.hosts)
    missing.unlink()
    before = unchanged(valid)
    assert len(tables_in(tmp_path).ensure()) == 1
    assert unchanged(valid) == before
    held = tables_in(tmp_path).held()
    assert held == (TablePair({}, BOTH.networks) if which == "hosts" else TablePair(BOTH.hosts, ()))


def test_a_table_of_zero_bytes_after_a_power_cut_is_made_anew_at_the_boot(tmp_path: Path) -> None:
    tables = tables_in(tmp_path)
    tables.put(BOTH)
    tables.hosts.write_bytes(b"")
    assert tables.ensure() == (tables.names[0],)
    assert asked(tables, "192.0.2.7") == {}
