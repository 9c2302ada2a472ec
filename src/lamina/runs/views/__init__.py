"""Views: the verbs, report and inspection of a run, by task and modality."""
