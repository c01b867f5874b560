"""What only shows after the reload is taken back, with Postfix's words; what was killed is healed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mailtls.edge import postfixcommand
from mailtls.edge.runningmaster import find_master
from mailtls.errors import RefusedError
from mailtls.service import applyplan
from mailtls.service.applychange import carry_out
from mailtls.service.applyplan import FileChange, Order
from mailtls.service.applyrecover import recover

from .applying import change_of, mail_flowing, site_of, stop_master
from .conversation import Conversation, Server
from .instance import PrivatePostfix

STEPS = ("checkpoint", "staged", "before", "swapping", "swapped master.cf", "swapped main.cf", "reloaded", "verified")

KILLED = """\
import os, signal, sys
from pathlib import Path
from mailtls.service.applychange import carry_out
from mailtls.service.applyplan import FileChange, Order, Site

configuration, workplace, fatal = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]

def observe(step):
    if step == fatal:
        os.kill(os.getpid(), signal.SIGKILL)

master, main = configuration / "master.cf", configuration / "main.cf"
changes = (
    FileChange(master, master.read_bytes(), master.read_bytes() + b"# a comment\\n"),
    FileChange(main, main.read_bytes(), main.read_bytes().replace(b"starttls_timeout = 20s", b"starttls_timeout = 30s")),
)
carry_out(Order("the trial", changes), Site(configuration, workplace), observe)
"""


@pytest.fixture(scope="module")
def postfix() -> Iterator[PrivatePostfix]:
    with PrivatePostfix() as postfix:
        yield postfix


def contents(postfix: PrivatePostfix) -> dict[str, bytes]:
    return {name: (postfix.configuration / name).read_bytes() for name in ("main.cf", "master.cf")}


def test_an_edit_that_is_right_stands(postfix: PrivatePostfix) -> None:
    site = site_of(postfix)
    with mail_flowing(postfix) as stream:
        done = carry_out(change_of(postfix, "main.cf", "mx.example.test", "mx9.example.test"), site)
        with Conversation("127.7.7.8", Server(postfix.address, postfix.ports["smtp"])) as conversation:
            assert conversation.hear().startswith("220 mx9.example.test")
        carry_out(change_of(postfix, "main.cf", "mx9.example.test", "mx.example.test"), site)
    assert any("the greeting was 220 mx.example.test" in note for note in done.notes)
    assert stream.failures == []


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("main.cf", "security_level = may", "security_level = none", "the TLS connection was TLSv1.3"),
        ("main.cf", "security_level = none", "security_level = may", "EHLO now announces STARTTLS"),
        ("main.cf", "ecdsa.pem", "rsa.pem", "the certificate was"),
        ("main.cf", "rsa.pem", "ecdsa.pem", "the certificate was"),
        ("master.cf", "=postfix/submission\n", "=postfix/submission\n -o smtpd_upstream_proxy_protocol=haproxy\n", ""),
        ("master.cf", "\n -o smtpd_upstream_proxy_protocol=haproxy\n", "\n", ""),
        ("master.cf", "pickup ", "127.0.0.9:{port} inet n - n - - smtpd\npickup ", ""),
        ("master.cf", "127.0.0.9:{port} inet n - n - - smtpd\n", "", "is gone; sessions on it were cut"),
    ],
)
def test_what_is_meant_stands_and_is_said(postfix: PrivatePostfix, name: str, old: str, new: str, said: str) -> None:
    port = postfix.ports["smtp"]
    order = change_of(postfix, name, old.format(port=port), new.format(port=port))
    assert said in " ".join(carry_out(order, site_of(postfix)).notes)
    if "127.0.0.9" in new:
        with Conversation("127.0.0.9", Server("127.0.0.9", port)) as conversation:
            assert conversation.hear().startswith("220 ")


def test_what_only_the_reload_shows_is_rolled_back_with_the_words_of_postfix(
    postfix: PrivatePostfix, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of that kind is known, so the trial before it is blinded."""
    site, before = site_of(postfix), contents(postfix)
    monkeypatch.setattr(applyplan, "objections", lambda *_: ())
    order = change_of(postfix, "main.cf", "protocols = >=TLSv1.2", "protocols = TLSv9")
    with mail_flowing(postfix) as stream, pytest.raises(RefusedError, match="rolled back") as refusal:
        carry_out(order, site)
    assert "454 4.7.0 TLS not available due to local problem" in str(refusal.value)
    assert 'warning: Invalid TLS protocol list "TLSv9": disabling TLS support' in str(refusal.value)
    assert "Every port is as it was before" in str(refusal.value)
    assert contents(postfix) == before
    assert stream.failures == []


def test_a_change_that_nobody_foresaw_and_that_kills_the_master_is_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with PrivatePostfix() as postfix, ExitStack() as stack:
        site, before = site_of(postfix), contents(postfix)
        master = find_master(postfix.directory / "queue")
        assert master is not None
        monkeypatch.setattr(applyplan, "objections", lambda *_: ())
        order = change_of(postfix, "master.cf", "pickup ", "192.0.2.1:3027 inet n - n - - discard\npickup ")
        stack.callback(stop_master, postfix)
        with pytest.raises(RefusedError, match="died") as refusal:
            carry_out(order, site)
        assert "was started again" in str(refusal.value)
        assert contents(postfix) == before
        again = find_master(postfix.directory / "queue")
        assert again is not None
        assert again != master
        with mail_flowing(postfix) as stream:
            pass
        assert stream.failures == []


def test_an_edit_made_meanwhile_is_never_overwritten(postfix: PrivatePostfix) -> None:
    site = site_of(postfix)
    order = change_of(postfix, "main.cf", "starttls_timeout = 20s", "starttls_timeout = 25s")
    path, mine = postfix.configuration / "main.cf", b"# somebody was here\n"

    def interfere(step: str) -> None:
        if step == "before":
            path.write_bytes(mine + path.read_bytes())

    with pytest.raises(RefusedError, match="changed by somebody else"):
        carry_out(order, site, interfere)
    assert path.read_bytes().startswith(mine)
    path.write_bytes(path.read_bytes().removeprefix(mine))


@pytest.mark.parametrize("step", STEPS)
def test_a_transaction_that_is_killed_is_healed(postfix: PrivatePostfix, step: str) -> None:
    site, before = site_of(postfix), contents(postfix)
    arguments = [str(site.configuration), str(site.workplace), step]
    with mail_flowing(postfix) as stream:
        ran = subprocess.run([sys.executable, "-c", KILLED, *arguments], capture_output=True, text=True, check=False)
        assert ran.returncode == -signal.SIGKILL, ran.stderr
        with pytest.raises(RefusedError, match="--recover"):
            carry_out(Order("another", ()), site)
        notes = recover(site.workplace).notes
        after = contents(postfix)
        assert recover(site.workplace).notes == ("No transaction was interrupted; nothing had to be done.",)
    assert stream.failures == []
    if step == "verified":
        assert after != before
        assert "it stands" in notes[0]
        for name, content in before.items():
            (postfix.configuration / name).write_bytes(content)
    else:
        assert after == before
        assert "before it changed anything" in notes[0] or "taken back" in notes[0]
    assert len(notes) == 1
    assert not list(postfix.configuration.glob("*.tmp"))
    assert not (site.workplace / "stage").exists()


def test_what_somebody_edited_after_the_kill_stays_and_is_said(postfix: PrivatePostfix) -> None:
    site, before = site_of(postfix), contents(postfix)
    arguments = [str(site.configuration), str(site.workplace), "swapped main.cf"]
    subprocess.run([sys.executable, "-c", KILLED, *arguments], capture_output=True, check=False)
    path = postfix.configuration / "main.cf"
    path.write_bytes(path.read_bytes() + b"# mine\n")
    notes = recover(site.workplace).notes
    assert path.read_bytes().endswith(b"# mine\n")
    assert (postfix.configuration / "master.cf").read_bytes() == before["master.cf"]
    assert any("main.cf was edited since, and was left as it is" in note for note in notes)
    path.write_bytes(before["main.cf"])


def test_a_symbolic_link_owner_and_mode_stay() -> None:
    with PrivatePostfix() as postfix:
        path, real = postfix.configuration / "main.cf", postfix.directory / "site.cf"
        path.rename(real)
        path.symlink_to(real)
        os.chown(real, 0, 12)
        real.chmod(0o640)
        carry_out(change_of(postfix, "main.cf", "starttls_timeout = 20s", "starttls_timeout = 25s"), site_of(postfix))
        assert path.is_symlink()
        assert "timeout = 25s" in real.read_text()
        assert (real.stat().st_gid, real.stat().st_mode & 0o777) == (12, 0o640)


def test_nothing_is_cut_by_reloads_under_load(postfix: PrivatePostfix) -> None:
    reloads = int(os.environ.get("MAILTLS_TEST_RELOADS", "200"))
    master = find_master(postfix.directory / "queue")
    assert master is not None
    door = Server(postfix.address, postfix.ports["smtp"])
    with ExitStack() as stack:
        streams = [stack.enter_context(mail_flowing(postfix, source=f"127.7.8.{n}")) for n in range(1, 4)]
        with Conversation("127.7.9.1", door) as held:
            held.greet()
            for _ in range(reloads):
                assert postfixcommand.reload(postfix.configuration, master) is None
            held.deliver()
            held.quit()
    assert [stream.failures for stream in streams] == [[], [], []]
    assert sum(stream.delivered for stream in streams) > reloads


def test_the_order_of_a_file_that_is_not_there_is_refused(postfix: PrivatePostfix) -> None:
    path = Path(postfix.directory / "nowhere" / "x")
    with pytest.raises(RefusedError, match="nowhere"):
        carry_out(Order("the trial", (FileChange(path, None, b"x"),)), site_of(postfix))
