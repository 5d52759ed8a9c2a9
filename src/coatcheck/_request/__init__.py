"""The path of a request, for every host."""
