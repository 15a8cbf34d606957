"""What the end of a process is called."""

import signal

_MEANINGS = {
    signal.SIGKILL: "killed from outside; with little memory left this is the system's out-of-memory killer",
    signal.SIGTERM: "asked to end, for example by a machine that shuts down",
    signal.SIGSEGV: "a crash in native code",
    signal.SIGBUS: "a memory or disk error, for example a full disk under a mapped file",
    signal.SIGABRT: "a library gave up, see the log",
    signal.SIGILL: "this processor lacks an instruction that a library uses",
}


def explain(exit_code: int | None) -> str:
    """One sentence about how a process ended, from its exit code; negative ones are signals."""
    if exit_code is None:
        return "How it ended is not known: it was not started by this server."
    if exit_code >= 0:
        return f"It ended with exit code {exit_code}."
    try:
        name = signal.Signals(-exit_code)
    except ValueError:
        return f"It was ended by signal {-exit_code}."
    meaning = _MEANINGS.get(name)
    return f"It was ended by signal {-exit_code} ({name.name}{': ' + meaning if meaning else ''})."
