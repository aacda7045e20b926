"""Clarity: fundus photographs to graded, explained, traceable screening results."""

__version__ = "0.1.0"
