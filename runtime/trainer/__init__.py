"""The trainer: `python -m runtime.trainer JOB_DIR` trains one job's adapter, launched by the server or by hand.

`recipe.py` is the run told in order; the other modules are its leaves.
"""
