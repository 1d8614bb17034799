"""Networks shared by all tasks: ResNet trunk, sub-FC head, classifier."""
