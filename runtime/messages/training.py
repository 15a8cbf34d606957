"""What the server and its trainers tell each other beside the files in a job's folder."""

MEMORY_LIMIT = "LATHE_MEMORY_MB"
"""The environment variable that has the memory a trainer may take, in 2^20 bytes."""

COMPLETED, FAILED, OUT_OF_MEMORY, PAUSED, CANCELLED, TERMINATED = 0, 1, 3, 4, 130, 143
"""A trainer's exit codes. After OUT_OF_MEMORY the job is failed as after FAILED; more memory may mend it."""
