"""The sections of a report that any modality can have."""
