"""What a trainer says in status.json that the server acts on."""

OUT_OF_MEMORY = "Out of memory"
"""How the error_message of a trainer begins that ran out of memory while it computed."""
