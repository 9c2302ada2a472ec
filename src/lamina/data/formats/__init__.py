"""Files and folders as people have them, opened as the source of a modality."""
