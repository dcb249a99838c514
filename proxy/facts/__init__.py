"""What we believe about other people's servers: data and nothing else."""
