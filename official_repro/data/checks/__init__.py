"""Whether a data folder is sound: its shards, its records."""
