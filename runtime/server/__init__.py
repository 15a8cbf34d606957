"""The server's own process: the index of the folders, the queue of jobs, adapters, and who answers. Never torch."""
