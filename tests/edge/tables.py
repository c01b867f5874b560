"""What tests of tables share: what needs a type that postmap may not build, and a directory that only root can change."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tabletypes import KIND, types

from mailtls.edge.postmap import Postmap
from mailtls.edge.posttable import PostTables


def needs(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        kind not in types(), reason=f"postmap builds no {kind} here: install postfix, postfix-{kind}"
    )


KINDS = [pytest.param("lmdb", marks=needs("lmdb")), pytest.param("hash", marks=needs("hash"))]


def private_place(root: Path) -> Path:
    """Make etc/postfix below `root`."""
    for each in (root / "etc", root / "etc" / "postfix"):
        each.mkdir()
        each.chmod(0o755)
    return root / "etc" / "postfix" / "mailtls"


def tables_in(root: Path, kind: str = KIND) -> PostTables:
    place = root / "etc" / "postfix" / "mailtls"
    if not place.parent.exists():
        private_place(root)
    return PostTables(place, root, kind, Postmap(root / "postmap"))


def unchanged(path: Path) -> tuple[int, int, int]:
    """Give what stays as long as nobody writes to a file or replaces it; reading it changes its access time."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size
