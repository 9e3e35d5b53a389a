"""A folder of one's own pictures as the data set of any task."""
