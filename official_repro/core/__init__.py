"""Engine shared by all tasks: flags, runner, strategy, checkpoints."""
