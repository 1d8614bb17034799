"""From a source to a data folder: plan, shards, staging."""
