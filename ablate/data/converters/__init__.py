"""From the formats of published data sets to records."""
