"""The keeper's file as the gateway reads it."""

from __future__ import annotations

from pathlib import Path

from mailtls.core.gatewayrule import PeerTerms
from mailtls.core.waivedterms import FILE, WaivedTerms
from mailtls.edge.noticeboard import NoticeBoard
from mailtls.edge.waivedtermsfile import WaivedTermsFile

TERMS = WaivedTerms(peers=(PeerTerms(network="192.0.2.7", lowest="TLSv1"),))


def test_what_the_keeper_writes_holds_from_the_next_session_on(tmp_path: Path) -> None:
    board = NoticeBoard(tmp_path)
    file = WaivedTermsFile(board)
    assert file.now() == WaivedTerms()
    board.put(FILE, TERMS)
    assert file.now() == TERMS
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o644
    board.put(FILE, WaivedTerms())
    assert file.now() == WaivedTerms()


def test_what_cannot_be_read_leaves_the_last_that_could(tmp_path: Path) -> None:
    board = NoticeBoard(tmp_path)
    file = WaivedTermsFile(board)
    board.put(FILE, TERMS)
    assert file.now() == TERMS
    (tmp_path / FILE).write_text("{")
    assert file.now() == TERMS
    (tmp_path / FILE).unlink()
    assert file.now() == WaivedTerms()
