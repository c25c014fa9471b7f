"""`robot-orl dataset browse`: the episodes of a dataset at a page, to look at and to label."""
