"""What the server and its other processes say to each other.

Every kind of process imports this, so it stands on msgspec and `state` alone.
"""
