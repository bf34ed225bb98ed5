"""Times to the second: staff compare them with logs."""

DATETIME_FORMAT = "Y-m-d H:i:s"
