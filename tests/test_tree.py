"""Every source file has its own test file where one looks for it.

The idea is the websockets project's: a module that only other modules' tests happen to run is not
tested, and a test file that mirrors no module is hard to find.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "txbridge"
TESTS = ROOT / "tests"

# Source file -> where its behaviour is tested instead, or why there is none.
EXCEPTIONS = {
    "_version.py": "one literal; installing reads it",
}


def test_every_source_file_has_a_test_file_in_the_same_place():
    missing = []
    for source in sorted(PACKAGE.rglob("*.py")):
        name = source.relative_to(PACKAGE)
        if source.name == "__init__.py" or name.as_posix() in EXCEPTIONS:
            continue
        test = TESTS / name.parent / f"test_{name.stem}.py"
        if not test.is_file():
            missing.append(f"{name.as_posix()} has no {test.relative_to(ROOT).as_posix()}")
    assert missing == []


def test_no_exception_outlives_its_source_file():
    assert [name for name in EXCEPTIONS if not (PACKAGE / name).is_file()] == []
