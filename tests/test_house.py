"""The house's rules, held by a test: floors, sizes, names, docstrings, and what the core may never touch."""

from __future__ import annotations

import ast
import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "daemon" / "mailtls"
MODULES = sorted(PACKAGE.rglob("*.py"))
FLOORS = ("core", "edge", "service", "ctl")

# Modules of the standard library that only compute. What is missing here and needed: ask whether it can do I/O.
PURE = frozenset(
    [
        "__future__",
        "abc",
        "array",
        "base64",
        "binascii",
        "bisect",
        "collections",
        "colorsys",
        "contextlib",
        "copy",
        "dataclasses",
        "datetime",
        "decimal",
        "difflib",
        "enum",
        "fractions",
        "functools",
        "hashlib",
        "heapq",
        "html",
        "ipaddress",
        "itertools",
        "json",
        "keyword",
        "math",
        "numbers",
        "operator",
        "re",
        "statistics",
        "string",
        "struct",
        "textwrap",
        "tomllib",
        "types",
        "typing",
        "unicodedata",
    ]
)
# Packages that only compute: the policy file's text becomes values in core.policy, and pydantic checks it; stringzilla
# searches bytes.
PURE_PACKAGES = frozenset({"pydantic", "pydantic_core", "stringzilla"})
# Calls that read the clock, the disk, the terminal or the environment although their module, or none, is allowed.
IMPURE_CALLS = frozenset(
    {"now", "utcnow", "today", "open", "print", "input", "exec", "eval", "__import__", "breakpoint"}
)
# Files that are not about one thing, by their own confession.
NAMELESS = frozenset({"utils", "util", "helpers", "helper", "common", "manager", "base", "misc", "types"})

LONGEST_FILE = 400
LONGEST_FUNCTION = 80
ARGUED_ABOVE = 40
# Functions of more than 40 lines, each with the reason why it reads better whole.
ARGUED_FUNCTIONS: dict[str, str] = {}
# Files of more than 400 lines, each with the reason why it is one thing.
ARGUED_FILES: dict[str, str] = {}
# `except Exception` stands once, where a daemon's loop must outlive what nobody foresaw.
CATCHES_ALL = "daemon.py"

# Written in pieces, so that this file is no hit of its own. Places of one machine, and hosts that serve packages: the
# code must build anywhere, from whatever mirror its owner uses.
FORBIDDEN = tuple(
    "".join(pieces)
    for pieces in (
        ("/wo", "rk/"),
        ("/tm", "p/venv"),
        ("/ro", "ot/"),
        ("/home/", "user"),
        ("pypi", ".org"),
        ("pythonhosted", ".org"),
        ("deb.", "debian.org"),
        ("registry.", "npmjs"),
        ("proxy.", "golang"),
        ("archive.", "ubuntu.com"),
    )
)
TEXTS = (".py", ".md", ".toml", ".sh", ".cfg", ".service", ".timer", ".socket", ".1", ".yml", ".yaml", "")
NOT_OURS = frozenset({".git", "__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache", ".hypothesis", "build"})


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def floor_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def imports_of(path: Path) -> Iterator[str]:
    """Every imported module by its full name, relative ones resolved; also those inside functions."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                package = ("mailtls", *path.relative_to(PACKAGE).parts[:-1])
                module = ".".join((*package[: len(package) - node.level + 1], *([module] if module else ())))
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names if module == "mailtls")


def functions_of(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{name_of(path)}:{node.name}", node


def length_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of code: the signature's and the docstring's lines are the reader's help, and are not counted."""
    body = node.body[1:] if ast.get_docstring(node) is not None and len(node.body) > 1 else node.body
    return (node.end_lineno or 0) - body[0].lineno + 1


def test_the_package_is_found() -> None:
    assert len(MODULES) > 20, "the other tests of this file would hold for an empty house"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_its_own_floor_or_below(path: Path) -> None:
    floor = floor_of(path)
    if floor not in FLOORS:
        return  # config.py and daemon.py are the wiring
    allowed = {*FLOORS[: FLOORS.index(floor) + 1], "errors"}
    if floor == "ctl":
        allowed.add("config")
    ours = [module.split(".")[1:] for module in imports_of(path) if module.split(".")[0] == "mailtls"]
    above = {parts[0] for parts in ours if parts} - allowed - {"__version__"}
    assert not above, f"{name_of(path)} stands on floor {floor} and imports from above: {sorted(above)}"


@pytest.mark.parametrize("path", [path for path in MODULES if floor_of(path) == "core"], ids=name_of)
def test_the_core_is_pure(path: Path) -> None:
    foreign = {module.split(".")[0] for module in imports_of(path)} - PURE - PURE_PACKAGES - {"mailtls"}
    assert not foreign, f"{name_of(path)} imports what can reach outside: {sorted(foreign)}"
    for node in ast.walk(tree_of(path)):
        assert not isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith), (
            "the core never waits"
        )
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            assert called not in IMPURE_CALLS, f"{name_of(path)}:{node.lineno} calls {called}()"


def test_the_list_of_pure_modules_names_only_the_standard_library() -> None:
    assert sys.stdlib_module_names >= PURE
    assert not PURE & {
        "os",
        "io",
        "socket",
        "asyncio",
        "logging",
        "time",
        "pathlib",
        "subprocess",
        "random",
        "sys",
        "ssl",
    }


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_file_is_one_noun_and_not_too_long(path: Path) -> None:
    assert path.stem not in NAMELESS, f"{name_of(path)}: name the one thing that it holds"
    lines = len(path.read_text("utf-8").splitlines())
    if name_of(path) not in ARGUED_FILES:
        assert lines <= LONGEST_FILE, f"{name_of(path)} has {lines} lines: split it, or argue for it in ARGUED_FILES"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_functions_are_short_or_argued_for(path: Path) -> None:
    for name, node in functions_of(path):
        length = length_of(node)
        assert length <= LONGEST_FUNCTION, f"{name} has {length} lines: nothing above {LONGEST_FUNCTION}, ever"
        if length > ARGUED_ABOVE:
            assert name in ARGUED_FUNCTIONS, f"{name} has {length} lines: shorten it, or argue in ARGUED_FUNCTIONS"


def test_the_median_function_fits_in_ten_lines() -> None:
    lengths = sorted(length_of(node) for path in MODULES for _, node in functions_of(path))
    assert lengths[len(lengths) // 2] <= 10


def test_what_is_argued_for_exists() -> None:
    lengths = {name: length_of(node) for path in MODULES for name, node in functions_of(path)}
    idle = [name for name in ARGUED_FUNCTIONS if lengths.get(name, 0) <= ARGUED_ABOVE]
    idle += [name for name in ARGUED_FILES if not (PACKAGE / name).exists()]
    assert not idle, f"these need no argument any more: {idle}"


def public_definitions(path: Path) -> Iterator[tuple[str, ast.AST]]:
    """The module, and every class, function and method that others may use: no underscore, not a standard method."""
    tree = tree_of(path)
    yield "the module", tree
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                for method in node.body:
                    if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and not method.name.startswith("_"):
                        yield f"{node.name}.{method.name}", method


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_public_name_says_what_it_is(path: Path) -> None:
    silent = [
        name
        for name, node in public_definitions(path)
        if not ast.get_docstring(node)  # type: ignore[arg-type]
        and not any("overload" in ast.dump(mark) for mark in getattr(node, "decorator_list", []))
    ]
    assert not silent, f"{name_of(path)}: no docstring: {silent}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nobody_catches_everything(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ExceptHandler) and name_of(path) != CATCHES_ALL:
            caught = [node.type] if not isinstance(node.type, ast.Tuple) else node.type.elts
            names = {getattr(item, "id", "") for item in caught if item is not None}
            assert node.type is not None, f"{name_of(path)}:{node.lineno} catches everything"
            assert not names & {"Exception", "BaseException"}, f"{name_of(path)}:{node.lineno} catches {names}"


def our_texts() -> list[Path]:
    """Every text that we wrote; logs of others in tests/corpus are theirs."""
    return sorted(
        path
        for path in ROOT.rglob("*")
        if path.suffix in TEXTS
        and path.is_file()
        and not NOT_OURS & set(path.relative_to(ROOT).parts)
        and not any(part.endswith(".egg-info") for part in path.parts)
    )


def test_no_place_of_one_machine_and_no_package_host_is_named() -> None:
    assert len(our_texts()) > len(MODULES)
    hits = [
        f"{path.relative_to(ROOT)}:{number}: {word}"
        for path in our_texts()
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1)
        for word in FORBIDDEN
        if word in line
    ]
    assert not hits, "\n".join(hits)


def test_tests_mirror_the_package() -> None:
    """A test file of a floor tests a module of that floor; what several tests share has no `test_` in front."""
    strays = [
        str(path.relative_to(ROOT))
        for floor in ("core", "edge", "service")
        for path in (ROOT / "tests" / floor).glob("test_*.py")
        if not any(itertools.chain((PACKAGE / floor).glob(f"{re.sub('^test_', '', path.stem)}.py")))
        and not any(path.stem.startswith(f"test_{module.stem}_") for module in (PACKAGE / floor).glob("*.py"))
    ]
    assert not strays, f"no module for {strays}"
