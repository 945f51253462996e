"""View episodes, trials, plans and films frame by frame: in a browser, in one page, or in rerun."""
