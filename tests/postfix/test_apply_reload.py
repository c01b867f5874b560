"""`reload` never lets broken files reach the master, and puts the last good ones back."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from mailtls.errors import ConfigError, RefusedError
from mailtls.service.applychange import carry_out
from mailtls.service.applyedit import edit
from mailtls.service.applyreload import PutBackError, reload

from .applying import age, change_of, mail_flowing, site_of
from .instance import PrivatePostfix
from .programs import program

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
BROKEN = [
    # file, what is written for what, words of the refusal
    ("main.cf", "protocols = >=TLSv1.2", "protocols = TLSv9", "Invalid TLS protocol list"),
    ("main.cf", "local_transport =", "this is junk\nlocal_transport =", "missing '=' after attribute name"),
    ("main.cf", "notify_classes =", "smtpd_timeout = abc\nnotify_classes =", "bad time value or unit: abc"),
    ("master.cf", "pickup ", "192.0.2.1:3027 inet n - n - - discard\npickup ", "192.0.2.1:3027: cannot assign"),
    ("master.cf", "pickup ", "{taken} inet n - n - - discard\npickup ", "address already in use"),
    ("master.cf", "pickup ", "nosuch.invalid:3027 inet n - n - - discard\npickup ", "does not resolve"),
    ("master.cf", "pickup     unix", "pickup     unixx", "unixx"),
]


@pytest.fixture(scope="module")
def postfix() -> Iterator[PrivatePostfix]:
    with PrivatePostfix() as postfix:
        assert reload(site_of(postfix), NOW, keep=False).notes == ()
        yield postfix


def break_it(postfix: PrivatePostfix, name: str, old: str, new: str) -> bytes:
    """Edit a file in place, as with vi; give what it was."""
    path = postfix.configuration / name
    good = path.read_bytes()
    assert old.encode() in good
    path.write_bytes(good.replace(old.encode(), new.encode(), 1))
    age(path)
    return good


@pytest.mark.parametrize(("name", "old", "new", "words"), BROKEN)
def test_a_broken_edit_in_place_is_put_aside(
    postfix: PrivatePostfix, name: str, old: str, new: str, words: str
) -> None:
    path, aside = postfix.configuration / name, postfix.configuration / f"{name}.refused-20261121T080000"
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        good = break_it(postfix, name, old, new.format(taken=taken))
        broken = path.read_bytes()
        with pytest.raises(PutBackError, match="last good bytes are back") as refusal:
            reload(site_of(postfix), NOW, keep=False)
    assert words in str(refusal.value)
    assert f"--- {name} (refused)" in refusal.value.diff
    assert path.read_bytes() == good
    assert aside.read_bytes() == broken
    assert postfix.running
    with mail_flowing(postfix) as stream:
        assert reload(site_of(postfix), NOW, keep=False).notes == ()
    assert stream.failures == []


def test_a_master_cf_that_is_gone_is_put_back_before_the_master_hears_of_it(postfix: PrivatePostfix) -> None:
    """`postfix reload` would return 0 then, and the running master die."""
    path = postfix.configuration / "master.cf"
    good = path.read_bytes()
    path.unlink()
    with mail_flowing(postfix) as stream:
        with pytest.raises(RefusedError, match=r"master\.cf: No such file or directory; the files are as they were"):
            reload(site_of(postfix), NOW, keep=True)
        assert not path.exists()
        with pytest.raises(RefusedError, match=r"master\.cf: No such file or directory; the last good bytes are back"):
            reload(site_of(postfix), NOW, keep=False)
        assert path.read_bytes() == good
        assert reload(site_of(postfix), NOW, keep=False).notes == ()
    assert stream.failures == []
    assert postfix.running


def test_a_main_cf_that_is_gone_is_put_back(postfix: PrivatePostfix) -> None:
    """No mail meanwhile: Postfix starts a program that died of it only a minute later."""
    path = postfix.configuration / "main.cf"
    good = path.read_bytes()
    path.unlink()
    ran = subprocess.run(reload_command(postfix), capture_output=True, text=True, check=False)
    assert ran.returncode == 4, ran
    assert "main.cf: No such file or directory; the last good bytes are back" in " ".join(ran.stderr.split())
    assert path.read_bytes() == good
    with mail_flowing(postfix) as stream:
        assert reload(site_of(postfix), NOW, keep=False).notes == ()
    assert stream.failures == []


def test_with_keep_nothing_is_touched(postfix: PrivatePostfix) -> None:
    good = break_it(postfix, *BROKEN[3][:3])
    path = postfix.configuration / "master.cf"
    broken = path.read_bytes()
    with pytest.raises(RefusedError, match="the files are as they were found"):
        reload(site_of(postfix), NOW, keep=True)
    assert path.read_bytes() == broken
    assert postfix.running
    path.write_bytes(good)


def test_without_an_earlier_good_state_it_only_says_what_is_broken() -> None:
    with PrivatePostfix() as postfix:
        break_it(postfix, *BROKEN[3][:3])
        broken = (postfix.configuration / "master.cf").read_bytes()
        with mail_flowing(postfix) as stream, pytest.raises(RefusedError, match="no earlier state is known"):
            reload(site_of(postfix), NOW, keep=False)
        assert (postfix.configuration / "master.cf").read_bytes() == broken
        assert stream.failures == []


def test_what_was_broken_before_does_not_stop_an_edit_that_mends_it() -> None:
    with PrivatePostfix() as postfix:
        break_it(postfix, "main.cf", "protocols = >=TLSv1.2", "protocols = TLSv9")
        order = change_of(postfix, "main.cf", "protocols = TLSv9", "protocols = >=TLSv1.2")
        assert any("this is over" in note for note in carry_out(order, site_of(postfix)).notes)
        with mail_flowing(postfix) as stream:
            pass
        assert stream.failures == []


@pytest.mark.parametrize("junk", ["this is junk", "default_process_limit = many"])
def test_an_edit_that_mends_what_nobody_could_read_stands_at_once(junk: str) -> None:
    with PrivatePostfix() as postfix:
        break_it(postfix, "main.cf", "local_transport =", f"{junk}\nlocal_transport =")
        assert (
            "could not be tried" in carry_out(change_of(postfix, "main.cf", f"{junk}\n", ""), site_of(postfix)).notes[0]
        )
        assert junk not in (postfix.configuration / "main.cf").read_text()
        assert postfix.running


# --- edit --------------------------------------------------------------------------------------------------------


def editing(*texts: tuple[str, str]):  # type: ignore[no-untyped-def]
    """Make an editor that replaces one piece of text each time it is opened."""
    left = list(texts)

    def editor(path) -> None:  # type: ignore[no-untyped-def]
        path.write_text(path.read_text().replace(*left.pop(0)))

    return editor


def test_a_refused_text_may_be_edited_again(postfix: PrivatePostfix) -> None:
    site, asked = site_of(postfix), []
    editor = editing(("timeout = 20s", "timeout = abc"), ("timeout = abc", "timeout = 21s"))
    edit(site, "main.cf", editor, lambda why: not asked.append(why))
    assert "bad time value or unit: abc" in asked[0]
    assert "timeout = 21s" in (postfix.configuration / "main.cf").read_text()
    edit(site, "main.cf", editing(("timeout = 21s", "timeout = 20s")), lambda _: False)


def test_a_refused_text_that_nobody_mends_is_kept(postfix: PrivatePostfix) -> None:
    site = site_of(postfix)
    with pytest.raises(RefusedError, match="Your text is kept in") as refusal:
        edit(site, "main.cf", editing(("timeout = 20s", "timeout = abc")), lambda _: False)
    kept = site.workplace / "main.cf.refused"
    assert str(kept) in str(refusal.value)
    assert "timeout = abc" in kept.read_text()
    assert "timeout = 20s" in (postfix.configuration / "main.cf").read_text()


def test_an_edit_that_changes_nothing_reloads_nothing(postfix: PrivatePostfix) -> None:
    reloads = sum("reload -- version" in line for line in postfix.lines())
    assert "was not changed" in edit(site_of(postfix), "main.cf", lambda _: None, lambda _: False).notes[0]
    assert sum("reload -- version" in line for line in postfix.lines()) == reloads


def test_only_the_two_files_are_edited(postfix: PrivatePostfix) -> None:
    with pytest.raises(ConfigError, match=r"dynamicmaps\.cf: only main\.cf and master\.cf are edited here"):
        edit(site_of(postfix), "dynamicmaps.cf", lambda _: None, lambda _: False)


def test_the_program_edits_with_the_editor_of_the_operator(postfix: PrivatePostfix) -> None:
    config = postfix.directory / "mailtls.toml"
    config.write_text(f'root = "{postfix.directory}"\n[log]\nfiles = ["/log/mail.log"]\n')
    outcomes = {}
    for editor in (
        "sed -i s/timeout.=.20s/timeout=21s/",
        "sed -i s/timeout=21s/timeout=abc/",
        "false",
        "nosuch-editor",
    ):
        ran = subprocess.run(
            [program("mailtls-apply"), "--config", config, "edit", "main.cf"],
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env={**os.environ, "VISUAL": editor},
        )  # fmt: skip
        outcomes[editor.split()[-1]] = (ran.returncode, ran.stdout + ran.stderr)
    assert [status for status, _ in outcomes.values()] == [0, 4, 4, 2], outcomes
    assert "timeout=21s" in (postfix.configuration / "main.cf").read_text()
    assert "bad time value or unit: abc" in outcomes["s/timeout=21s/timeout=abc/"][1]
    edit(site_of(postfix), "main.cf", editing(("timeout=21s", "timeout = 20s")), lambda _: False)


def reload_command(postfix: PrivatePostfix) -> list[str]:
    config = postfix.directory / "mailtls.toml"
    config.write_text(f'root = "{postfix.directory}"\n[log]\nfiles = ["/log/mail.log"]\n')
    return [program("mailtls-apply"), "--config", str(config), "reload"]


def test_the_program_reloads(postfix: PrivatePostfix) -> None:
    command = reload_command(postfix)
    assert "every port shows what it should" in subprocess.run(command, capture_output=True, text=True).stdout
    good = break_it(postfix, *BROKEN[0][:3])
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 4
    assert "-smtpd_tls_protocols = TLSv9" in ran.stdout
    assert "Invalid TLS protocol list" in ran.stderr
    assert (postfix.configuration / "main.cf").read_bytes() == good
