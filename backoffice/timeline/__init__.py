"""One story of a payment out of many tables. Each module of this package is one source."""
