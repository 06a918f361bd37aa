"""What is done with a trajectory over time: gate, smooth, measure. No Qt, no torch."""
