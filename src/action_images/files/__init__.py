"""Files that several parts of the library write: atomic writes, JSON lines, settings and locks."""
