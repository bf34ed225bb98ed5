"""Mutation testing: the changes, the process that tests them, and the results that are kept."""
