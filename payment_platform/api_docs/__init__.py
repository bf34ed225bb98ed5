"""Documents for merchants' programmers: the OpenAPI document, the error reference and the guides."""
