"""Moved to mailtls.edge.randomhello, since `mailtlsctl doctor --handshakes` asks for hellos, too."""

from mailtls.edge.randomhello import random_hello

__all__ = ["random_hello"]
