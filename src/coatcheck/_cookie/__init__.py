"""The session cookie: its attributes, its seal, and the headers that carry it."""
