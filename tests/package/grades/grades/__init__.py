"""A package that lamina knows nothing of: a model, a task, a view, a recipe and names of weights."""
