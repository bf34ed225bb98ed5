"""What merchants' programmers read: the OpenAPI document, the reference of errors and the guides."""
