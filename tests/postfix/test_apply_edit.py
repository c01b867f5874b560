"""Whatever would break a running Postfix is refused with Postfix's own words, and mail flows all the time."""

from __future__ import annotations

import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mailtls.edge import doorprobe, preflight
from mailtls.errors import RefusedError
from mailtls.service.applychange import carry_out
from mailtls.service.applyplan import FileChange, Order, Site

from .applying import Stream, mail_flowing, site_of
from .breakages import ALL, ANSWERS, Breakage
from .instance import PrivatePostfix


@dataclass(frozen=True, slots=True)
class Scene:
    """A Postfix under way: who delivers to it, and a port that somebody else uses."""

    postfix: PrivatePostfix
    site: Site
    stream: Stream
    taken: int


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with ExitStack() as stack:
        postfix = stack.enter_context(PrivatePostfix())
        other = stack.enter_context(socket.socket())
        other.bind(("127.0.0.1", 0))
        other.listen()
        (postfix.directory / "empty.lmdb").touch()
        lay_out(postfix.directory)
        for name, reply in ANSWERS.items():
            stack.enter_context(answering(postfix.directory / f"answers-{name}", reply))
        stack.enter_context(answering(postfix.directory / "answers-close", None))
        stream = stack.enter_context(mail_flowing(postfix))
        yield Scene(postfix, site_of(postfix), stream, other.getsockname()[1])
        stack.close()
        assert stream.failures == []
        assert stream.delivered > len(ALL)


def lay_out(directory: Path) -> None:
    """Make the files that the rows name."""
    (directory / "twice").write_text("127.0.5.1 starttls\n127.0.5.1 starttls\n")
    for name in ("corrupt.lmdb", "corrupt.db"):
        (directory / name).write_bytes(b"this is no database\n" * 1000)
    (directory / "empty.db").touch()
    (directory / "valueless").write_text("/^127\\./\n")
    (directory / "wrong.pem").write_text((directory / "rsa.crt").read_text() + (directory / "rsa.key").read_text())
    for words in (
        ["openssl", "genrsa", "-out", "other.key", "2048"],
        ["openssl", "rsa", "-in", "rsa.key", "-aes128", "-passout", "pass:secret", "-out", "locked.key"],
    ):
        subprocess.run(words, check=True, capture_output=True, cwd=directory)


@contextmanager
def answering(path: Path, reply: bytes | None) -> Iterator[None]:
    """Be a socketmap server that says one thing to every question, or nothing; None: it hangs up."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.request.recv(4096) and reply is not None:
                self.request.sendall(reply)

    with socketserver.ThreadingUnixStreamServer(str(path), Handler) as server:
        server.daemon_threads = True
        path.chmod(0o777)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield
        server.shutdown()


def broken(scene: Scene, breakage: Breakage) -> Order:
    """Make the edit of a row."""
    name = "main.cf" if breakage.main else "master.cf"
    path = scene.postfix.configuration / name
    old = path.read_text()
    directory, first = scene.postfix.directory, f"{scene.postfix.address}:{scene.postfix.ports['smtp']}"
    values = {"directory": directory, "taken": scene.taken, "first": first}
    if breakage.options:
        first, _, rest = old.partition("\n")
        new = f"{first}\n  {breakage.options.format(**values)}\n{rest}"
    else:
        new = old + (breakage.main or breakage.entry).format(**values) + "\n"
    return Order(f"the edit of {name}", (FileChange(path, old.encode(), new.encode()),))


@pytest.mark.parametrize("breakage", ALL, ids=lambda each: each.name)
def test_a_broken_edit_is_refused_and_nothing_changes(
    scene: Scene, breakage: Breakage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorprobe, "PATIENCE_S", breakage.patience_s)
    monkeypatch.setattr(preflight, "PATIENCE_S", min(breakage.patience_s, preflight.PATIENCE_S))
    order = broken(scene, breakage)
    master = (scene.postfix.directory / "queue/pid/master.pid").read_text()
    with pytest.raises(RefusedError, match="nothing was changed") as refusal:
        carry_out(order, scene.site)
    assert breakage.says in str(refusal.value), str(refusal.value)
    assert "preflight" not in str(refusal.value)
    assert str(scene.site.workplace / "stage") not in str(refusal.value)
    for change in order.changes:
        assert change.path.read_bytes() == change.old
    assert (scene.postfix.directory / "queue/pid/master.pid").read_text() == master
    assert scene.stream.failures == []


@pytest.mark.parametrize("left", [b"", b"# nothing but a comment\n"])
def test_a_master_cf_without_what_mail_needs_is_refused(scene: Scene, left: bytes) -> None:
    path = scene.postfix.configuration / "master.cf"
    order = Order("the edit of master.cf", (FileChange(path, path.read_bytes(), left),))
    with pytest.raises(RefusedError, match="service qmgr would be gone"):
        carry_out(order, scene.site)
    assert scene.stream.failures == []
