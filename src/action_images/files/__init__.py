"""Files that programs write: whole or not at all, one writer at a time, under settings that are remembered."""
