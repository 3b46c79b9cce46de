"""Generated requests, good and bad, against a real server: `python -m tests.bench.fuzz --examples 100000`.

What the published document allows and what it forbids is both sent. No answer may be a server error, of another shape,
status or type than is published, or tell a value that is no amount of money; nothing that is forbidden may be
accepted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.served import ROOT, environment, promote, serving, train

HOOKS = "tests.bench.fuzz_hooks"
#: Checks that would ask for what we don't promise, and what a batch does not: it tells what is wrong with a home in the
#: home's place, and answers 200 all the same.
SETTINGS = """
[checks]
unsupported_method.enabled = false
positive_data_acceptance.enabled = false
negative_data_rejection.expected-statuses = [400, 404, 413, 415, 422]

[[operations]]
include-path = "/value_batch"
checks.negative_data_rejection.enabled = false
"""
#: The operations that take what a caller makes up; the others are asked all the same.
OPERATIONS = 5


def fuzz(url: str, examples: int, seed: int, out: Path) -> int:
    """Sends about so many requests; 0 when nothing was found. What is found is told as it comes, and is in the file."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "schemathesis.toml"
        settings.write_text(SETTINGS)
        options = [
            "--max-examples",
            str(max(1, examples // OPERATIONS)),
            "--seed",
            str(seed),
        ]
        quiet = [
            "--no-color",
            "--generation-database",
            "none",
            "--phases",
            "examples,coverage,fuzzing",
            "--continue-on-failure",
        ]
        command = [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "--config-file",
            str(settings),
            "run",
            f"{url}/openapi.json",
        ]
        env = os.environ | {"SCHEMATHESIS_HOOKS": HOOKS, "PYTHONPATH": str(ROOT)}
        command += [*options, *quiet]
        with (
            out.open("wb") as told,
            subprocess.Popen(command, env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as sending,
        ):
            assert sending.stdout is not None
            for line in sending.stdout:
                told.write(line)
                print(line.decode(errors="replace"), end="", flush=True)
        return sending.returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--url", help="of a running server; without it, one is started with a small model")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        out = place / "found.txt"
        if options.url:
            found = fuzz(options.url, options.examples, options.seed, out)
        else:
            promote(train(), place)
            with serving("serving.service:Valuation", ROOT, environment(place), place / "log") as server:
                found = fuzz(server.url, options.examples, options.seed, out)
    return found


if __name__ == "__main__":
    sys.exit(main())
