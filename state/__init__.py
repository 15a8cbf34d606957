"""Files and only files: every record that Lathe keeps, and the rules for reading and writing it.

Standard library, msgspec and filelock; runs anywhere that Python runs.
"""
