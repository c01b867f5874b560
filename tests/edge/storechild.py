"""What the tests of the store do in a process of its own: one to be killed, or one with a small disk of its own.

python -m tests.edge.storechild load FILE          commits until it is killed, a line for each commit
python -m tests.edge.storechild full DIRECTORY     on a disk of 1 MB that fills up, and has room again
python -m tests.edge.storechild readonly DIRECTORY on a disk that becomes read-only
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from itertools import count
from pathlib import Path

from tests.edge.remembering import change, good, opened, rows, session

from mailtls.core.conduct import Conduct
from mailtls.errors import StoreError


async def load(path: Path) -> None:
    """Read on from the stored position, as a follower does: the position is the number of sessions read so far."""
    store = await opened(path)
    position = await store.position("mail.log")
    read = int(position.position) if position is not None else 0
    print("ready", read, flush=True)
    while True:
        number = random.randint(1, 300)
        ips = [f"10.{(read + each) * 7919 >> 8 & 255}.{(read + each) * 104729 & 255}.1" for each in range(number)]
        read += number
        conducts: dict[str, Conduct] = {ip: good(ip) for ip in ips}
        await store.commit(change(*map(session, ips), conducts=conducts, position=str(read)))
        print("committed", read, flush=True)


async def full(directory: Path) -> None:
    """Commit until the disk is full; make room; commit the same again."""
    mount("-t", "tmpfs", "-o", "size=1m", "none", directory)
    path, ballast = directory / "mailtls.db", directory / "ballast"
    ballast.write_bytes(bytes(300_000))
    store = await opened(path)
    for start in count(0, 100):
        one = change(*(session(f"10.0.{start // 100}.{each}") for each in range(100)), position=str(start + 100))
        try:
            await store.commit(one)
        except StoreError as error:
            print("refused", error)
            break
    print("waiting", len(one.sessions), list(one.positions))
    print(
        "kept", start, (await store.position("mail.log")).position, rows(path, "SELECT sum(sessions) FROM days")[0][0]
    )
    ballast.unlink()
    await store.commit(one)
    print(
        "again", start, (await store.position("mail.log")).position, rows(path, "SELECT sum(sessions) FROM days")[0][0]
    )
    await store.close()


async def readonly(directory: Path) -> None:
    """Open what can be read only."""
    mount("-t", "tmpfs", "none", directory)
    path = directory / "mailtls.db"
    await (await opened(path)).close()
    mount("-o", "remount,ro", directory)
    try:
        await opened(path)
    except StoreError as error:
        print("refused", error)


def mount(*arguments: object) -> None:
    """Mount in this process's own namespace (unshare -m)."""
    subprocess.run(["mount", *map(str, arguments)], check=True)


if __name__ == "__main__":
    asyncio.run({"load": load, "full": full, "readonly": readonly}[sys.argv[1]](Path(sys.argv[2])))
