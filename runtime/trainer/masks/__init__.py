"""From rows of data to tokens of which some are learned: those that the model has to write when it is asked.

Of every answer of the assistant, what is learned stands behind the prompt that serving itself would send: up to and
with the token at which serving stops. The prompt comes from the same functions as serving's (`runtime.model.chat`).
Answers share one sequence only where the earlier one's tokens begin the later one's prompt, the "extension property"
of tinker-cookbook (https://github.com/thinking-machines-lab/tinker-cookbook); where a template rewrites what was said
before, as those that drop old thoughts do, an answer is a sequence of its own.

A row for which this cannot be done exactly is refused in words. Nothing is guessed.
"""
