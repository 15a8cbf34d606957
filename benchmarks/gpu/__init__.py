"""`python -m benchmarks.gpu`: what CUDA does to Lathe, checked and measured in nine minutes on a machine that has one.

__main__.py    the command
wheels.py      what such a machine lacks, brought along in a folder
checks.py      what is checked, most important first, and how long each may take
running.py     each check in a process of its own, its outcome told as it comes
one.py         that process
setting.py     what a check is given, and jobs for it to train
machine.py, exactness.py, paging.py, product.py, figures.py    the checks: functions that return a figure
"""
