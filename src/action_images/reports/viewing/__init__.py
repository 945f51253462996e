"""Episodes, trials, plans and films looked at frame by frame: in a browser, in one page, or in rerun."""
