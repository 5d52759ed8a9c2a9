"""What a handler changes during one request, and the decisions about keeping it."""
