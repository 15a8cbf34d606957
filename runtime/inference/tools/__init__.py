"""Tools that a model may call: how each family writes its calls, and how they are read and held.

forms.py      the families' forms of calls
reading.py    from a completion's text to its calls, piece by piece
holding.py    a grammar of calls
"""
