"""News for whoever watches: what changed since they last heard, in one stream."""
