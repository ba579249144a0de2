"""The data room: named data sets as splits, with digests."""
