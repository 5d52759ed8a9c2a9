"""Where records are kept: one module for each kind of server or file."""
