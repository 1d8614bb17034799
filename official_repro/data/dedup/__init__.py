"""Near-duplicates: finding copies of pictures among the records."""
