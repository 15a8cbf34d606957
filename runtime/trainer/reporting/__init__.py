"""Shows a job's figures elsewhere, in a process of its own for each place (`report_to`).

It follows metrics.jsonl, as anybody could. So whatever a tool's library does, hang, leak or crash, the training goes
on; a resumed job, whose curve is rewound, tells nothing twice; and what could not be told is told later.
"""
