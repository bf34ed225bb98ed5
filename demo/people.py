"""The accounts of staff who act in the demo history. Each role has one whose name is the role in lower case."""

ADMIN, FINANCE, OPERATOR = "admin", "finance", "operator"
