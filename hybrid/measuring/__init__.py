"""What every measurement needs: the clock, settled threads and memory, and where it ran."""
