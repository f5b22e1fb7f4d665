"""The measured cost of training: FLOPs and device seconds."""
