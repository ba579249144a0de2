"""Two programs that should be one model: where they differ, what that does, how to mend it."""
