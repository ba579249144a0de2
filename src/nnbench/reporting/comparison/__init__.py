"""Groups of runs side by side: who may be compared, and what is said of them."""
