"""What a prompt learner's file is: reading, recognising, its log, its class names."""
