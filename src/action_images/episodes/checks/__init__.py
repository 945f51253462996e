"""Everything that is wrong with a data set, one file for each kind of check."""
