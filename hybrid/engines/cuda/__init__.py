"""The parts of the cuda_graph engine: static buffers, recorded work, and the two ways to compute a step."""
