"""What things cost: programs that measure and print small tables."""
