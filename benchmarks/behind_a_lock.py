"""`python -m benchmarks.behind_a_lock MODEL_FOLDER CACHE`: transformers' own generate, one request after another.

The usual way to serve a model from a script, for comparison. Reads a line of JSON a batch, `{"prompts": [...],
"max_new_tokens": n}`, and answers each with `{"seconds": s, "first_token_s": [...]}`.
"""

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from runtime.process import cpu


def main() -> None:
    cpu.prepare()
    import torch  # noqa: PLC0415
    from transformers import StoppingCriteria, StoppingCriteriaList  # noqa: PLC0415

    from runtime.model import bases, device, tokenizers  # noqa: PLC0415

    source, cache = sys.argv[1:]
    model: Any = bases.load_base(source, device.pick(), Path(cache)).eval()
    tokenizer = tokenizers.load_tokenizer(source)
    lock = threading.Lock()

    class Clock(StoppingCriteria):
        first = 0.0

        def __call__(self, input_ids: torch.Tensor, scores: object, **_: object) -> torch.Tensor:  # noqa: ARG002
            self.first = self.first or time.monotonic()
            return torch.tensor([False])

    def answer(prompt: str, max_new_tokens: int, began: float, first_token_s: list[float]) -> None:
        clock = Clock()
        with lock:
            prompt_1T = torch.tensor([tokenizer(prompt)["input_ids"]])
            model.generate(
                input_ids=prompt_1T,
                min_new_tokens=max_new_tokens,
                max_new_tokens=max_new_tokens,
                do_sample=False,
                pad_token_id=0,
                stopping_criteria=StoppingCriteriaList([clock]),
            )
        first_token_s.append(clock.first - began)

    for line in sys.stdin:
        asked = json.loads(line)
        first_token_s: list[float] = []
        began = time.monotonic()
        threads = [
            threading.Thread(target=answer, args=(prompt, asked["max_new_tokens"], began, first_token_s))
            for prompt in asked["prompts"]
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(json.dumps({"seconds": time.monotonic() - began, "first_token_s": first_token_s}), flush=True)


if __name__ == "__main__":
    main()
