"""Runs on the Hugging Face hub: what is pushed, and its model card. Opening one is ``lamina.open_run("hf:...")``."""
