"""What a data set is for a model: two processes that read rows as a trainer would, and train nothing.

`report` goes over all rows, `preview` shows some. Neither loads weights, and neither imports torch.
"""
