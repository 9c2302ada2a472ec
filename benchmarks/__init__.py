"""One file per question: Lamina and its peer interleaved in one process, medians, ratios. A timing is never a test."""
