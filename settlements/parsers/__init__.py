"""Parsers of statements: one file for each format. Each reads a stream and holds one line at a time."""
