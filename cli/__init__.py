"""The command line: one command, one module, named as the command is.

`lathe jobs` is `jobs.py`, `lathe data check` is `data/check.py`, `lathe rm-adapter` is `rm_adapter.py`. Commands are
found, not listed; the first line of a module is its line in `lathe --help`, and only the module that runs is imported:
a shell that asks for a completion waits for no other. `_shared/` is what they share.

A command asks the server over HTTP and prints what it answers. Only `serve` starts one.
"""
