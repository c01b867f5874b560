"""A short run of the fuzz on mutated real lines; the long one is `benchmarks/fuzz_lines.py`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from mailtls.core.assembler import Assembler

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def fuzzer() -> ModuleType:
    path = HERE.parents[1] / "benchmarks" / "fuzz_lines.py"
    spec = importlib.util.spec_from_file_location("fuzz_lines", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_lines"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", range(4))
def test_mutated_lines_neither_raise_nor_come_out_raw(fuzzer: ModuleType, seed: int) -> None:
    result = fuzzer.fuzz(fuzzer.corpus_lines(HERE), 20_001, seed)
    assert result.lines == 20_001
    assert result.sessions > 500, "the mutations leave too little of the lines to test anything"
    assert [(line[:400], wrong) for line, wrong in result.failures if "took" not in wrong] == []


def test_the_fuzz_sees_what_raises(fuzzer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def feed(self: Assembler, raw: bytes) -> list[object]:
        raise IndexError(raw[:0])

    monkeypatch.setattr(Assembler, "feed", feed)
    assert len(fuzzer.fuzz(fuzzer.corpus_lines(HERE), 10, 0).failures) == 10


def test_the_same_seed_gives_the_same_lines(fuzzer: ModuleType) -> None:
    lines = fuzzer.corpus_lines(HERE)
    assert list(fuzzer.mutated(lines, fuzzer.Random(7), 300)) == list(fuzzer.mutated(lines, fuzzer.Random(7), 300))
