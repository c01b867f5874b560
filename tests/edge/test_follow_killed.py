"""A reader that is killed with SIGKILL while a real program writes and logrotate(8) rotates: every line once."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.edge.test_follow import LOGROTATE

READER = """
import asyncio, pathlib, sqlite3, sys
from mailtls.edge.follow import Follower
store = sqlite3.connect(sys.argv[2])
store.execute("pragma journal_mode = wal")
store.execute("create table if not exists lines (line text)")
store.execute("create table if not exists position (text text)")
stored = store.execute("select text from position").fetchone()
async def main():
    told = False
    async for batch in Follower(pathlib.Path(sys.argv[1]), stored and stored[0], from_start=True).batches():
        with store:
            store.executemany("insert into lines values (?)", [(line.decode(),) for line in batch.lines])
            store.execute("delete from position")
            store.execute("insert into position values (?)", (batch.position,))
        if not told:
            told = True
            print("stored", flush=True)
asyncio.run(main())
"""
WRITER = """
import os, signal, sys, time
reopen = []
signal.signal(signal.SIGHUP, lambda *_: reopen.append(1))
flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
log = os.open(sys.argv[1], flags, 0o644)
print("writing", flush=True)
number = 0
while not os.path.exists(sys.argv[2]):
    if reopen:
        os.close(log)
        log = os.open(sys.argv[1], flags, 0o644)
        reopen.clear()
    count = number % 40 + 1
    os.write(log, b"".join(b"Nov 21 00:42:35 mail postfix/smtpd[1]: line %d\\n" % (number + n) for n in range(count)))
    number += count
    time.sleep(0.001)
print(number, flush=True)
"""
RULES = """"{log}" {{
 rotate 999
 size 1
 create
 {compress}
 postrotate
  kill -HUP {pid}
 endscript
}}
"""


@pytest.mark.slow
@pytest.mark.skipif(LOGROTATE is None, reason="logrotate(8) is not installed")
@pytest.mark.parametrize("compress", ["nocompress", "compress", "compress\n delaycompress"])
def test_no_line_is_lost_or_doubled_however_often_the_reader_is_killed(tmp_path: Path, compress: str) -> None:
    log, store, stop, rules = (tmp_path / name for name in ("mail.log", "store", "stop", "logrotate.conf"))
    tmp_path.chmod(0o755)
    luck = random.Random(compress)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, log, stop], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    writer.stdout.readline()
    rules.write_text(RULES.format(log=log, compress=compress, pid=writer.pid))
    rules.chmod(0o644)

    def rotate() -> None:
        subprocess.run([str(LOGROTATE), "-f", "-s", tmp_path / "status", rules], check=True, capture_output=True)

    def reader() -> subprocess.Popen[bytes]:
        child = subprocess.Popen([sys.executable, "-c", READER, log, store], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()  # it has stored a position; from now on it may die at any moment
        return child

    def stored() -> list[int]:
        with sqlite3.connect(store) as connection:
            return [int(line.split()[-1]) for (line,) in connection.execute("select line from lines")]

    child = reader()
    try:
        for _ in range(12):
            time.sleep(luck.uniform(0, 0.2))  # it is the moment of death that is drawn, not something waited for
            if luck.random() < 0.5:
                rotate()
            child.kill()
            child.wait()
            for _ in range(luck.randrange(3)):
                rotate()
            child = reader()
        stop.touch()
        written = int(writer.stdout.readline())
        deadline = time.monotonic() + 60
        while len(stored()) < written and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        stop.touch()
        child.kill()
        child.wait()
        writer.wait()
    found = stored()
    assert sorted(found) == list(range(written))
