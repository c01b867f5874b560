"""What is on the disk before anything changes is enough to go back."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from mailtls.edge.checkpoint import Intent, Step, Workplace, intend
from mailtls.edge.goodcopy import good_copies, keep_good
from mailtls.edge.swapfile import digest
from mailtls.errors import RefusedError


def an_intent(step: Step = Step.PREPARED) -> Intent:
    file = intend(Path("/etc/postfix/main.cf"), b"old \xff", None)
    return Intent(what="the trial", configuration="/etc/postfix", step=step, files=(file,), sums=(digest(b"old \xff"),))


def test_a_checkpoint_is_read_back_byte_for_byte(tmp_path: Path) -> None:
    with Workplace(tmp_path / "w") as place:
        assert place.checkpoint() is None
        place.mark(an_intent(Step.SWAPPING))
        found = place.checkpoint()
        assert found == an_intent(Step.SWAPPING)
        assert found is not None
        assert (found.files[0].old, found.files[0].new) == (b"old \xff", None)
        assert (place.directory / "checkpoint.json").stat().st_mode & 0o077 == 0
        place.clear()
        assert place.checkpoint() is None


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    with (
        Workplace(tmp_path / "w"),
        pytest.raises(RefusedError, match="another mailtls-apply"),
        Workplace(tmp_path / "w"),
    ):
        pass
    with Workplace(tmp_path / "w"):
        pass


def test_with_patience_the_second_waits_for_the_first_and_says_so(tmp_path: Path) -> None:
    said, order, holds = threading.Event(), list[str](), threading.Event()

    def first() -> None:
        with Workplace(tmp_path / "w"):
            holds.set()
            said.wait(30)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    holds.wait(30)
    with Workplace(tmp_path / "w", 30, lambda why: (order.append(why), said.set())[0]):
        order.append("second")
    thread.join()
    assert order == ["another mailtls-apply is at work; waiting until it has ended", "first", "second"]


@pytest.mark.parametrize("damage", [b"", b"{", b"{}", b"\xff"])
def test_a_checkpoint_that_cannot_be_read_is_said_and_left(tmp_path: Path, damage: bytes) -> None:
    with Workplace(tmp_path / "w") as place:
        (place.directory / "checkpoint.json").write_bytes(damage)
        with pytest.raises(RefusedError, match="compare"):
            place.checkpoint()
        assert (place.directory / "checkpoint.json").exists()


def test_a_content_that_changed_on_the_disk_is_noticed(tmp_path: Path) -> None:
    with Workplace(tmp_path / "w") as place:
        place.mark(an_intent().model_copy(update={"sums": (digest(b"other"),)}))
        with pytest.raises(RefusedError, match="is damaged"):
            place.checkpoint()


def test_where_nothing_can_be_written_it_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RefusedError, match="nothing was changed; run this as root"), Workplace(tmp_path / "file"):
        pass


def test_good_copies_are_kept_apart_for_several_postfixes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "main.cf").write_text(name)
        keep_good(tmp_path / "w", tmp_path / name, ("main.cf", "master.cf"))
    assert good_copies(tmp_path / "w", tmp_path / "a", ("main.cf", "master.cf")) == {"main.cf": b"a"}
    assert good_copies(tmp_path / "w", tmp_path / "b", ("main.cf",)) == {"main.cf": b"b"}
    assert good_copies(tmp_path / "w", tmp_path / "c", ("main.cf",)) == {}
