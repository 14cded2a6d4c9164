"""The agent of one rank: workers started in the slots of its machine, watched; what they leave, settled."""
