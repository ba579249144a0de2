"""Many runs: what is left to do, who starts them, and what became of each."""
