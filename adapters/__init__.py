"""Chat platforms behind one contract. Knows nothing of agents, runs or workflows."""
