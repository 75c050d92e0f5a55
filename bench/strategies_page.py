"""Makes the tables of docs/strategies.md anew, by the commands that stand above them.

    python bench/strategies_page.py CONVERSATION.csv CODE.csv [--jobs N]

In the page `conversation.csv` and `code.csv` stand for the two Azure traces of 2023. What follows a command, up to the
next `<!-- end -->`, is replaced by what the command prints. Takes some 15 minutes of one core.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/strategies.md"
BLOCK = re.compile(r"```sh\n(llm-router simulate .*?)```\n.*?(?=\n<!-- end -->)", re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("conversation", type=Path)
    parser.add_argument("code", type=Path)
    parser.add_argument("--jobs", default="2")
    given = parser.parse_args()
    traces = {"conversation.csv": given.conversation, "code.csv": given.code}

    def made_anew(match: re.Match[str]) -> str:
        words = shlex.split(match[1].replace("\\\n", " "))[1:]
        print(" ".join(words), file=sys.stderr, flush=True)
        words = [str(traces[word].absolute()) if word in traces else word for word in words]
        result = subprocess.run(
            [sys.executable, "-m", "router", *words, "--jobs", given.jobs],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        told = result.stdout
        for name, path in traces.items():
            told = told.replace(path.name, name)
        lines = "\n".join(line.strip() for line in told.splitlines())
        squeezed = re.sub(r"\n{3,}", "\n\n", lines).strip()
        return f"```sh\n{match[1]}```\n\n{squeezed}\n"

    place = 0
    while match := BLOCK.search(PAGE.read_text(), place):  # written block by block: each takes minutes
        page, made = match.string, made_anew(match)
        PAGE.write_text(page[: match.start()] + made + page[match.end() :])
        place = match.start() + len(made)


if __name__ == "__main__":
    main()
