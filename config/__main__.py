"""`python -m config --check` is `quartet check`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `quartet check` with what follows `--check`."""
    arguments = sys.argv[1:]
    if "--check" not in arguments:
        sys.exit("usage: python -m config --check [--online] [--config FILE]")
    from bot.cli import main as quartet  # the one look upwards, and only when asked for

    arguments.remove("--check")
    quartet.main(args=["check", *arguments], prog_name="quartet")


if __name__ == "__main__":
    main()
