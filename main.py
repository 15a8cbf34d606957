"""`python main.py [serve] [OPTIONS]` is the server; `python main.py jobs` is `lathe jobs`, as is any other command.

Nothing is imported before it is known which: a command is not to wait for what the server stands on.
"""

import sys


def main(arguments: list[str] | None = None) -> int:
    """Run what these arguments name, or those of the process; its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        if given and given[0] != "serve" and not given[0].startswith("-"):
            from cli.__main__ import main as command  # noqa: PLC0415

            return command(given)
        import server  # noqa: PLC0415

        return server.main(given)
    except KeyboardInterrupt:  # Ctrl-C, while all that is imported
        return 130


if __name__ == "__main__":
    sys.exit(main())
