"""One protocol a file: a data set's layout and its measures."""
