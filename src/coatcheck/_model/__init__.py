"""Typed sessions: values that a model of the application describes."""
