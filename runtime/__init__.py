"""What lives while a process lives: the job cache, the queue, the trainer, the inference worker."""
