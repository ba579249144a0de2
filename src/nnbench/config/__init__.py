"""What a user may set: the run configuration, how it is composed, and what is wrong with it."""
