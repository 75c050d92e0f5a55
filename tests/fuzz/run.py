"""Runs the coverage-guided fuzzer: `make fuzz`. Arguments are libFuzzer's: folders of inputs, `-max_total_time=600`."""

from __future__ import annotations

import importlib
import sys
from typing import Any


def main() -> None:
    atheris: Any = importlib.import_module("atheris")  # in an environment of its own: it has no place among the others
    with atheris.instrument_imports(include=["router.upstream"]):
        target = importlib.import_module("tests.fuzz.target")
    atheris.Setup(sys.argv, target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
