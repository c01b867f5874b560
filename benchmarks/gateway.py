#!/usr/bin/env python3
"""What the gateway costs: handshakes and megabytes per second of its processor time, by cipher, and memory per client.

    python benchmarks/gateway.py [--handshakes 200]

A real gateway process on loopback, real clients (tlslite-ng for SSLv3, RC4 and 3DES; OpenSSL where it can), and a sink
in place of Postfix that answers as it would. Only the gateway's own processor time counts, so that a slow client
tells nothing. Beside it stands `openssl s_server` with the same kind of key, asked the same by the same clients in the
same run: a bare handshake in C, without SMTP and without anybody behind it.
"""

from __future__ import annotations

import argparse
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from tlslite.handshakesettings import HandshakeSettings
    from tlslite.tlsconnection import TLSConnection

PIECE = b"x" * 16_000
BULK = 64_000_000  # bytes
TICKS = os.sysconf("SC_CLK_TCK")
CIPHERS = {  # name: tlslite-ng's name and version, and how many bytes it can send in a few seconds
    "SSLv3 AES128-SHA": ("aes128", (3, 0), 2_000_000),
    "SSLv3 RC4-SHA": ("rc4", (3, 0), 8_000_000),
    "SSLv3 DES-CBC3-SHA": ("3des", (3, 0), 320_000),
    "TLSv1 RC4-SHA": ("rc4", (3, 1), 8_000_000),
}


def sink(listening: socket.socket) -> None:
    """Answer each connection as a Postfix that takes everything."""
    while True:
        connection, _ = listening.accept()
        threading.Thread(target=swallow, args=(connection,), daemon=True).start()


def swallow(connection: socket.socket) -> None:
    with connection:
        connection.recv(16 + 36)  # the PROXY header
        connection.sendall(b"220 sink ESMTP\r\n")
        end = b""
        while data := received(connection):
            end = (end + data)[-16:]
            if end.endswith(b"END\r\n"):
                connection.sendall(b"250 taken\r\n")
            elif end.endswith(b"\n"):
                connection.sendall(b"250-sink\r\n250 SIZE\r\n")


def received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(1 << 16)
    except ConnectionResetError:
        return b""


@contextmanager
def gateway() -> Iterator[tuple[int, int]]:
    """Run one; give its process and its port."""
    with tempfile.TemporaryDirectory(prefix="mailtls-gateway-") as place, ExitStack() as stack:
        directory = Path(place)
        listening = stack.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(str(directory / "backend.sock"))
        listening.listen(512)
        threading.Thread(target=sink, args=(listening,), daemon=True).start()
        new = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=mx.example")
        subprocess.run([*new, "-keyout", "key.pem", "-out", "crt.pem"], cwd=place, check=True, capture_output=True)
        for command in (
            ("openssl", "pkcs8", "-topk8", "-nocrypt", "-in", "key.pem", "-outform", "DER", "-out", "key"),
            ("openssl", "x509", "-in", "crt.pem", "-outform", "DER", "-out", "crt"),
        ):
            subprocess.run(command, cwd=place, check=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        (directory / "mailtls.toml").write_text(
            f'[gateway]\nlisten = ["127.0.0.1:{port}"]\nbackend = "{place}/backend.sock"\n'
            "sessions = 2000\nper_address = 2000\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "mailtls.gateway", "--config", directory / "mailtls.toml", "--key",
             directory / "key", "--certificate", directory / "crt"], stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            await_port(port)
            yield process.pid, port
        finally:
            process.kill()
            process.wait()


def await_port(port: int) -> None:
    """Wait until somebody listens there, for ten seconds at most."""
    for _ in range(500):
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)


def processor_seconds(process: int) -> float:
    words = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


def resident_kb(process: int) -> int:
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def approach(port: int) -> socket.socket:
    wire = socket.create_connection(("127.0.0.1", port))
    for command in (None, b"EHLO bench\r\n", b"STARTTLS\r\n"):
        if command:
            wire.sendall(command)
        reply = b""
        while not (reply.endswith(b"\n") and reply.splitlines()[-1][3:4] == b" "):
            reply += wire.recv(4096)
    return wire


def old_client(port: int, cipher: str, version: tuple[int, int]) -> Any:
    settings = HandshakeSettings()
    settings.minVersion = settings.maxVersion = version
    settings.cipherNames = [cipher]
    settings.macNames = ["sha"]
    client = TLSConnection(approach(port))
    client.handshakeClientCert(settings=settings)
    return client


def modern_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA:@SECLEVEL=0")
    return context


def new_client(port: int) -> ssl.SSLSocket:
    return modern_context().wrap_socket(approach(port))


def deliver(client: Any, size: int) -> None:
    for _ in range(size // len(PIECE)):
        client.sendall(PIECE)
    client.sendall(b"END\r\n")
    while b"taken" not in client.recv(4096):
        pass


@contextmanager
def s_server() -> Iterator[tuple[int, int]]:
    """Run OpenSSL's own server; give its process and its port."""
    with tempfile.TemporaryDirectory(prefix="mailtls-gateway-") as place:
        new = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=mx.example")
        subprocess.run([*new, "-keyout", "key.pem", "-out", "crt.pem"], cwd=place, check=True, capture_output=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = subprocess.Popen(
            ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-key", "key.pem", "-cert", "crt.pem", "-tls1_2",
             "-cipher", "ALL:@SECLEVEL=0", "-quiet", "-no_ticket", "-no_cache"],
            cwd=place, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            await_port(port)
            yield process.pid, port
        finally:
            process.kill()
            process.communicate()


def measure_openssl(handshakes: int) -> tuple[float, float]:
    """Give OpenSSL's own processor seconds for one handshake, and MB of AES128-SHA in one second."""
    with s_server() as (process, port):
        context = modern_context()
        begun = processor_seconds(process)
        for _ in range(handshakes):
            context.wrap_socket(socket.create_connection(("127.0.0.1", port))).close()
        each = (processor_seconds(process) - begun) / handshakes
        client = context.wrap_socket(socket.create_connection(("127.0.0.1", port)))
        begun = processor_seconds(process)
        for _ in range(BULK // len(PIECE)):
            client.sendall(PIECE)
        client.unwrap().close()
        return each, BULK / 1e6 / max(processor_seconds(process) - begun, 1 / TICKS)


def measure(handshakes: int) -> None:
    """Print everything."""
    bare, plain = measure_openssl(handshakes)
    with gateway() as (process, port):
        begun = processor_seconds(process)
        for _ in range(handshakes):
            new_client(port).close()
        each = (processor_seconds(process) - begun) / handshakes
        print(f"one session with its handshake: {each * 1000:.2f} ms of processor time, {1 / each:.0f} in a second; "
              f"{each / bare:.1f} times a bare handshake of openssl s_server, {bare * 1000:.2f} ms")  # fmt: skip
        begun = processor_seconds(process)
        deliver(new_client(port), BULK)
        standard = BULK / 1e6 / (processor_seconds(process) - begun)
        print(f"TLSv1.2 AES128-SHA   {standard:7.1f} MB in a second of processor time   1.00   "
              f"(openssl s_server: {plain:.1f})")  # fmt: skip
        for name, (cipher, version, size) in CIPHERS.items():
            begun = processor_seconds(process)
            for _ in range(handshakes):
                old_client(port, cipher, version).sock.close()
            sessions = handshakes / max(processor_seconds(process) - begun, 1 / TICKS)
            old = old_client(port, cipher, version)
            begun = processor_seconds(process)
            deliver(old, size)
            taken = max(processor_seconds(process) - begun, 1 / TICKS)
            speed = size / 1e6 / taken
            print(f"{name:20} {speed:7.1f} MB in a second of processor time   {speed / standard:.2f}   "
                  f"{sessions:.0f} sessions in a second")  # fmt: skip
            old.close()
        before, kept = resident_kb(process), [new_client(port) for _ in range(300)]
        each_kb = (resident_kb(process) - before) / len(kept)
        print(f"memory: {before / 1024:.0f} MB, and {each_kb:.0f} kB for each client that is connected")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--handshakes", type=int, default=200, help="sessions to count (200)")
    measure(parser.parse_args().handshakes)
