"""What a run can do and show, by task and modality, over the opened run."""
