"""The backends that keep records: one module for each kind of server or file."""
