"""Training outside this library: a command of the user's, or TRL, through one stage contract."""
