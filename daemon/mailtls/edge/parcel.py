"""Parcels: what a second process found, as plain values that marshal can send, and back."""

from __future__ import annotations

from typing import Any

from mailtls.core.shape import Shapes, Trouble
from mailtls.core.skim import Skim

Parcel = tuple[Any, ...]

_SHAPES = (
    "host_and_tag", "established", "ended", "logins", "troubles", "running", "heads", "broken", "odd", "stamps",
    "read", "understood", "left_out",
)  # fmt: skip
_SKIM = ("odd", "alerts", "orphans", "failures")


def pack_shapes(shapes: Shapes) -> Parcel:
    """Pack what a sieve counted."""
    trouble = [(pid, s.messages, s.lines, s.stamp) for pid, s in shapes.trouble.items()]
    return (*(getattr(shapes, name) for name in _SHAPES), trouble)


def unpack_shapes(parcel: Parcel) -> Shapes:
    """Unpack what a sieve counted."""
    shapes = Shapes(b"")
    for name, value in zip(_SHAPES, parcel, strict=False):
        setattr(shapes, name, value)
    shapes.trouble = {pid: Trouble(pid, *rest) for pid, *rest in parcel[-1]}
    return shapes


def pack_skim(skim: Skim) -> Parcel:
    """Pack what a skim found."""
    pending = [(source, s.pid, s.messages, s.lines, s.stamp) for source, s in skim.pending.items()]
    lanes = {name: pack_shapes(shapes) for name, shapes in skim.lanes.items()}
    return (*(getattr(skim, name) for name in _SKIM), pending, lanes, pack_shapes(skim.logins))


def unpack_skim(skim: Skim, parcel: Parcel) -> Skim:
    """Put what a skim found into an empty one."""
    for name, value in zip(_SKIM, parcel, strict=False):
        setattr(skim, name, value)
    pending, lanes, logins = parcel[-3:]
    skim.pending = {source: Trouble(*rest) for source, *rest in pending}
    skim.lanes = {name: unpack_shapes(shapes) for name, shapes in lanes.items()}
    skim.logins = unpack_shapes(logins)
    skim.stamps = skim.logins.stamps
    return skim
