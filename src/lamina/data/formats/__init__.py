"""File and folder formats, opened as sources of a modality."""
