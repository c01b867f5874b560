"""Who is at the other end of a UNIX socket, as the kernel says.

root and members of the operators' group are persons; the daemon's user is the daemon, whatever its groups are;
nobody else has a word here.

SECURITY: membership is read from the supplementary groups (SO_PEERGROUPS, Linux 4.13), which login sets for every
member, also where it is the primary group. The effective group of SO_PEERCRED is not asked: a file with the
set-group-id bit lends that to whoever runs it, and mailtlsd, who is in this group to reach the sockets, could make one.
"""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct

from mailtls.core.objection import Kind, Requester
from mailtls.core.register import MAILTLSD

SO_PEERGROUPS = 59  # asm-generic/socket.h; not in Python's socket module
_CRED = struct.Struct("3i")
_MOST = 1024  # bytes that Python's getsockopt takes: 256 groups


def requester(connection: socket.socket, daemon: str, admins: str) -> Requester | None:
    """Tell who connected, None for somebody who has no word. `daemon`, `admins`: a name, or a number as text."""
    _, uid, _ = _CRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CRED.size))
    if uid == 0:
        return Requester(Kind.PERSON, "root")
    if uid == uid_of(daemon):
        return Requester(Kind.DAEMON, MAILTLSD)
    group = gid_of(admins)
    if group is not None and group in _groups(connection, uid):
        return Requester(Kind.PERSON, _login(uid))
    return None


def uid_of(user: str) -> int | None:
    """Give a user's number; None where there is no such user."""
    if user.isascii() and user.isdigit():
        return int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def gid_of(group: str) -> int | None:
    """Give a group's number; None where there is no such group."""
    if group.isascii() and group.isdigit():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return None


def _groups(connection: socket.socket, uid: int) -> tuple[int, ...]:
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, _MOST)
    except OSError:
        return _groups_on_record(uid)  # more than 256 of them
    return struct.unpack(f"{len(raw) // 4}I", raw)


def _groups_on_record(uid: int) -> tuple[int, ...]:
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return ()
    return tuple(os.getgrouplist(user.pw_name, user.pw_gid))


def _login(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
