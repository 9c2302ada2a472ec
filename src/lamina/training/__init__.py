"""The recipe, the loop, checkpoints, optimisers and schedules."""
