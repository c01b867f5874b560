"""A private Postfix on which mailtls-apply works, and a client that never stops delivering."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.tabletypes import KIND

from mailtls.edge.postmap import Postmap
from mailtls.edge.posttable import PostTables
from mailtls.edge.runningmaster import find_master
from mailtls.service.applyplan import FileChange, Order, Site
from mailtls.service.applyrecover import recover
from mailtls.service.applysetup import SetupRoom, setup

from .conversation import Conversation, Server
from .instance import PrivatePostfix, wait_until


def site_of(postfix: PrivatePostfix) -> Site:
    """Say where this Postfix is to be changed."""
    workplace = postfix.directory / "var/lib/mailtls-apply"
    workplace.parent.mkdir(parents=True, exist_ok=True)
    return Site(postfix.configuration, workplace, (postfix.log,))


def room_of(postfix: PrivatePostfix, *ways_in: str) -> SetupRoom:
    """Say what setup needs to know of it; its services are named by their way in."""
    site = site_of(postfix)
    tables = PostTables(
        postfix.configuration / "mailtls", postfix.directory, KIND, Postmap(site.workplace / "postmap")
    )
    (postfix.directory / "etc/mailtls").mkdir(exist_ok=True)
    services = tuple(f"{postfix.address}:{postfix.ports[way]}" for way in ways_in or ("smtp",))
    view = postfix.directory / "etc/mailtls/postfix.toml"
    return SetupRoom(site, tables, view, site.workplace / "setup.json", "/etc/postfix", services)


def change_of(postfix: PrivatePostfix, name: str, old: str, new: str) -> Order:
    """Order an edit: one piece of text for another."""
    path = postfix.configuration / name
    content = path.read_text()
    assert old in content
    edited = content.replace(old, new, 1)
    return Order(f"the edit of {name}", (FileChange(path, content.encode(), edited.encode()),))


@dataclass(slots=True)
class Stream:
    """What came of the deliveries of a client that never stops; `failures` in its words."""

    delivered: int = 0
    failures: list[str] = field(default_factory=list)


@contextmanager
def mail_flowing(postfix: PrivatePostfix, way_in: str = "smtp", source: str = "127.7.7.7") -> Iterator[Stream]:
    """Deliver one mail after the other, in a thread, as long as the block lasts; at least one before and after."""
    stream, done = Stream(), threading.Event()
    server = Server(postfix.address, postfix.ports[way_in])

    def deliver() -> None:
        try:
            with Conversation(source, server) as conversation:
                conversation.greet()
                conversation.deliver()
                conversation.quit()
            stream.delivered += 1
        except OSError as error:
            stream.failures.append(str(error))

    def loop() -> None:
        while not done.is_set():
            deliver()

    deliver()
    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield stream
    finally:
        done.set()
        thread.join()
        deliver()


def age(path: Path) -> None:
    """Make a file look old enough for Postfix to read it at once."""
    status = path.stat()
    os.utime(path, (status.st_atime - 60, status.st_mtime - 60))


def stop_master(postfix: PrivatePostfix) -> None:
    """Stop the master that runs now, whoever started it."""
    master = find_master(postfix.directory / "queue")
    if master is not None:
        os.kill(master.pid, signal.SIGTERM)
        assert wait_until(lambda: not master.is_alive)


def assert_that_killed_setup_leaves_nothing(postfix: PrivatePostfix, room: SetupRoom, step: str) -> None:
    """Kill a setup when it has reached this step, heal it, and compare; mail flows meanwhile."""
    master = postfix.configuration / "master.cf"
    before = master.read_bytes()
    child = os.fork()
    if not child:
        setup(room, lambda reached: os.kill(os.getpid(), signal.SIGKILL) if reached == step else None)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    with mail_flowing(postfix) as stream:
        assert "taken back" in recover(room.site.workplace).notes[0]
    assert stream.failures == []
    assert master.read_bytes() == before
    assert not room.view.exists()
    assert not room.record.exists()
