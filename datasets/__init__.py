"""What networks learn from: labelled one-second clips, in three splits that keep speakers apart."""
