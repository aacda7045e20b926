"""``python -I -u dvc_commands.py TOKEN``: runs DVC commands, one after the other, in one process.

A line of input is one: its arguments as a JSON list, none to end. TOKEN and the exit code follow a command's output.
DVC imports for a second, and a training asks it five times. Started by its path: -I keeps this folder, whose modules
are called `lock` or `split`, out of its imports.
"""

import json
import os
import sys


def main(token: str) -> int:
    """Take commands from standard input until it ends; the exit code."""
    with os.fdopen(os.dup(0), encoding="utf-8") as commands:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)  # a stage that reads would take the next command
        os.close(nothing)
        from dvc.cli import main as run  # type: ignore[import-untyped]

        for line in commands:
            arguments = json.loads(line)
            if not arguments:
                break
            code = run(arguments)
            sys.stdout.write(f"{token}{code}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
