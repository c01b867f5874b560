"""A Postfix as Debian configures it: port 25 on every address, chrooted smtpd, IPv6. Run in a network namespace.

    unshare --net python -m tests.postfix.debian_site

Prints `done` at the end; anything that is not as it should be is an AssertionError.
"""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import UTC, datetime

from mailtls.core.tablepair import TablePair
from mailtls.edge.runningmaster import find_master
from mailtls.errors import RefusedError
from mailtls.service.applychange import carry_out
from mailtls.service.applyreload import reload
from mailtls.service.applysetup import plan_setup, setup, unsetup

from .applying import age, change_of, mail_flowing, room_of, stop_master
from .configuration import Settings
from .conversation import Conversation, Server
from .instance import PrivatePostfix

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


def like_debian(postfix: PrivatePostfix) -> None:
    """Put the first service on port 25 of every address, in the chroot, and another program on a port of its own."""
    master = postfix.configuration / "master.cf"
    text = master.read_text().replace(f"127.0.0.1:{postfix.ports['smtp']} inet n - n", "smtp inet n - y")
    master.write_text(f"{text}2526 inet n - n - - spawn user=nobody argv=/bin/true\n")
    age(master)


def main() -> None:
    """Do it all."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with PrivatePostfix(Settings(extra={"inet_interfaces": "all", "inet_protocols": "all"})) as postfix:
        room = replace(room_of(postfix), services=())
        like_debian(postfix)
        assert reload(room.site, NOW, keep=False).notes == ()
        running = find_master(postfix.directory / "queue")
        assert running is not None
        assert {("0.0.0.0", 25), ("::", 25), ("0.0.0.0", 2526)} <= running.listens()
        before = (postfix.configuration / "master.cf").read_bytes()
        postfix.ports["smtp"] = 25
        with mail_flowing(postfix) as stream:
            set_up_and_back(postfix)
        assert stream.failures == []
        assert (postfix.configuration / "master.cf").read_bytes() == before
        while_it_does_not_run(postfix)
        assert (postfix.configuration / "master.cf").read_bytes() == before
    print("done")


def set_up_and_back(postfix: PrivatePostfix) -> None:
    """Set it up; peers of both families are told apart; a path that the chroot hides is refused."""
    room = replace(room_of(postfix), services=())
    setup(room)
    assert plan_setup(room).is_nothing
    room.tables.put(TablePair({"::1": "starttls"}))
    for host, hidden in (("::1", True), ("127.0.0.1", False)):
        with Conversation(host, Server(host, 25)) as conversation:
            conversation.greet()
        assert ("STARTTLS" not in conversation.keywords) is hidden
    room.tables.put(TablePair())
    try:
        carry_out(change_of(postfix, "master.cf", "discard.cidr", "discard.cidr,socketmap:unix:/x.sock:d"), room.site)
    except RefusedError as error:
        assert "connect to /x.sock: No such file or directory" in str(error)
    else:
        raise AssertionError("a dead socketmap was let through")
    unsetup(room)


def while_it_does_not_run(postfix: PrivatePostfix) -> None:
    """Without a master everything is still tried, but for TLS."""
    stop_master(postfix)
    room = replace(room_of(postfix), services=())
    assert "does not run" in setup(room).notes[0]
    order = change_of(postfix, "main.cf", "notify_classes =", "smtpd_timeout = abc\nnotify_classes =")
    try:
        carry_out(order, room.site)
    except RefusedError as error:
        assert "bad time value or unit: abc" in str(error)
    else:
        raise AssertionError("a bad time was let through")
    assert "does not run" in reload(room.site, NOW, keep=False).notes[0]
    assert "does not run" in unsetup(room).notes[0]


if __name__ == "__main__":
    main()
