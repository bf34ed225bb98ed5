"""Times to the second: staff compare them with logs."""

DATETIME_FORMAT = "Y-m-d H:i:s"
THOUSAND_SEPARATOR = ","
DECIMAL_SEPARATOR = "."
NUMBER_GROUPING = 3
