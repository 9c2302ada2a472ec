"""How generated samples are judged: the scores, the options of evaluate."""
