"""Checks that find errors in a data set, one file for each kind of check."""
