"""Training rows: what people's files hold, read into one of four kinds of row, or refused by line and in words.

`files` reads a file's rows one after another, `formats` finds out what a row is and converts it, `reading` does both
for a file or a folder and reports on it. `row` has the four kinds and their one canonical form.
"""
