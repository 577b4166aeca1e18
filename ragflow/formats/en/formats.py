"""Short, sortable, and without a doubt about day and month."""

DATE_FORMAT = "Y-m-d"
DATETIME_FORMAT = "Y-m-d H:i"
TIME_FORMAT = "H:i"
THOUSAND_SEPARATOR = "\u202f"  # a narrow space that does not break
NUMBER_GROUPING = 3
