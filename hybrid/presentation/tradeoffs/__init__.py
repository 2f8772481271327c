"""Is it worth it: quality against latency, speed-up by length, time by phase, spread of latencies."""
