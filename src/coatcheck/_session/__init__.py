"""The session of one request, and the decisions about keeping it."""
