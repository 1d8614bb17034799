"""The scaling study: the experiments of the paper as one command each."""
