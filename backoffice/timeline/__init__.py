"""The timeline of a payment, from many tables. Each module of this package is one source of entries."""
