"""What Lathe claims about its speed, measured: each claim has one command here."""
