"""Reports for people: pages, films, contact sheets, curves."""
