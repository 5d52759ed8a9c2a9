"""One thin module for each framework that needs more than the middleware."""
