"""Which types of tables this machine's postmap builds; also for the demo, which has no pytest."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path


@cache
def types() -> frozenset[str]:
    """Name them; none where there is no Postfix."""
    if shutil.which("postconf", path="/usr/sbin:/usr/bin") is None:
        return frozenset()
    with tempfile.TemporaryDirectory(prefix="mailtls-postconf-") as empty:  # the system's own may not be configured
        Path(empty, "main.cf").touch()
        asked = subprocess.run(["/usr/sbin/postconf", "-c", empty, "-m"], capture_output=True, text=True)
    return frozenset(asked.stdout.split())


KIND = "lmdb" if "lmdb" in types() else "hash"
