"""Examples: each imports nothing but the public names of kstate."""
