"""HTTP as all endpoints share it: who may ask, how a body is read, and how a refusal is worded and shaped."""
