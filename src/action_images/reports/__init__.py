"""Everything that a person looks at: pages, films, contact sheets, curves."""
