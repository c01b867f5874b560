"""Whatever would break a running Postfix is refused with Postfix's own words, and mail flows all the time."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from mailtls.errors import RefusedError
from mailtls.service.applychange import carry_out
from mailtls.service.applyplan import FileChange, Order, Site

from .applying import Stream, mail_flowing, site_of
from .breakages import ALL, Breakage
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
        (postfix.directory / "twice").write_text("127.0.5.1 starttls\n127.0.5.1 starttls\n")
        stream = stack.enter_context(mail_flowing(postfix))
        yield Scene(postfix, site_of(postfix), stream, other.getsockname()[1])
        stack.close()
        assert stream.failures == []
        assert stream.delivered > len(ALL)


def broken(scene: Scene, breakage: Breakage) -> Order:
    """Make the edit of a row."""
    name = "main.cf" if breakage.main else "master.cf"
    path = scene.postfix.configuration / name
    old = path.read_text()
    values = {"directory": scene.postfix.directory, "taken": scene.taken}
    if breakage.options:
        first, _, rest = old.partition("\n")
        new = f"{first}\n  {breakage.options.format(**values)}\n{rest}"
    else:
        new = old + (breakage.main or breakage.entry).format(**values) + "\n"
    return Order(f"the edit of {name}", (FileChange(path, old.encode(), new.encode()),))


@pytest.mark.parametrize("breakage", ALL, ids=lambda each: each.name)
def test_a_broken_edit_is_refused_and_nothing_changes(scene: Scene, breakage: Breakage) -> None:
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
