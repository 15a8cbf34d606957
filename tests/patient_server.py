"""`python -m tests.patient_server PYTHON main.py ...`: that server, which ends only when all that it does has ended.

No time for shutting down cuts anything off: so its end shows that everything ends by itself, on a slow machine too.
"""

import runpy
import sys

import server

if __name__ == "__main__":
    _, *sys.argv = sys.argv[1:]
    server.SHUTDOWN_S = 10_000
    runpy.run_path(sys.argv[0], run_name="__main__")
