"""LLM sizes by SLM sizes: what a hybrid of two takes, measured where a grid has it, else predicted."""
