"""`lathe`, and `python -m cli`: runs one command, and ends with its exit code."""

import sys


def main(arguments: list[str] | None = None) -> int:
    """Run the command that these arguments name, or those of the process; its exit code."""
    try:
        from cli._shared import program  # noqa: PLC0415  Ctrl-C while it is imported is none of its tracebacks

        return program.run(arguments)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
