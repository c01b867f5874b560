"""Asking mailtlsd or the keeper one thing, and waiting for the answer.

The sockets follow from `root` in mailtls.toml, so that a private instance is asked with `--config` alone.
"""

from __future__ import annotations

import asyncio

from mailtls.config import Places, read_config
from mailtls.core.controlprotocol import Answer, Question
from mailtls.core.keeperprotocol import Reply, Request
from mailtls.ctl import output
from mailtls.edge.controlsocket import ControlSocket
from mailtls.edge.keepersocket import KeeperSocket

PATIENCE_S = 30.0  # more than mailtlsd takes before it says that it cannot answer in time


def places_of(config: str | None) -> Places:
    """Find the sockets that the configuration names. Raises ConfigError."""
    return read_config(config).places


def ask_daemon(places: Places, question: Question) -> Answer:
    """Ask mailtlsd. Raises UnreachableError, RefusedError, ProtocolError."""
    return asyncio.run(ControlSocket(places.control, PATIENCE_S).ask(question))


def ask_keeper(places: Places, request: Request) -> Reply:
    """Ask the keeper; a refusal is a reply too. Raises UnreachableError, ProtocolError."""
    return asyncio.run(KeeperSocket(places.keeper_socket).ask(request))


def print_json(answer: Answer, field: str) -> None:
    """Print one field of the answer, under its name, as one object."""
    output.write_json(answer.model_dump_json(indent=1, include={field}))
