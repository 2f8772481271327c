"""The cuda-graph engine: static buffers, captured graphs, and the kernels of a decode step."""
