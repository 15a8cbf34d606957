"""`python -m runtime.process.guardian <folder> <command…>`: runs a program that must not outlive who started it.

Its standard input stays open for as long as somebody wants the program: at its end the program is killed, however that
somebody went. The folder goes with the program. This process ends as the program did, by the same signal or exit code.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading


def main() -> None:
    folder, *command = sys.argv[1:]
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603  what we were started for
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        sys.exit(f"{command[0]} cannot be started: {error}")
    threading.Thread(target=_kill_with_the_input, args=[process], daemon=True).start()
    exit_code = process.wait()
    shutil.rmtree(folder, ignore_errors=True)
    if exit_code < 0:
        os.kill(os.getpid(), -exit_code)
        signal.pause()  # whatever thread takes the signal
    os._exit(exit_code)


def _kill_with_the_input(process: subprocess.Popen[bytes]) -> None:
    os.read(sys.stdin.fileno(), 1)
    process.kill()


if __name__ == "__main__":
    main()
