"""What smtpd_sasl_type = dovecot asks: a server that offers PLAIN and never lets anybody in.

The handshake of Dovecot's authentication protocol, version 1 (src/xsasl/xsasl_dovecot_server.c reads it); enough
for Postfix to announce AUTH.
"""

from __future__ import annotations

import socketserver
import threading
from pathlib import Path
from types import TracebackType

GREETING = b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t00000000000000000000000000000000\nDONE\n"


class _Client(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        """Greet, and refuse every AUTH (`AUTH<tab>ID<tab>...`)."""
        self.wfile.write(GREETING)
        for line in self.rfile:
            words = line.decode("ascii", "replace").rstrip("\n").split("\t")
            if words[0] == "AUTH":
                self.wfile.write(f"FAIL\t{words[1]}\n".encode())


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


class AuthServer:
    """Listens at `path` for the time of its `with` block."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> AuthServer:
        """Listen; everybody may connect."""
        self._server = _Server(str(self.path), _Client)
        self.path.chmod(0o666)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
