"""Run by benchmarks/llamacpp.py in the environment that has llama.cpp: a question of JSON in, greedy tokens out."""

import json
import sys

from llama_cpp import Llama


def main() -> None:
    question = json.load(sys.stdin)
    answers = []
    for files in question["models"]:
        model = Llama(files["model"], lora_path=files.get("lora"), n_ctx=1024, verbose=False)
        answers.append([complete(model, prompt, question["tokens"]) for prompt in question["prompts"]])
    json.dump(answers, sys.stdout)


def complete(model: Llama, prompt: str, length: int) -> dict[str, list[int]]:
    tokens = model.tokenize(prompt.encode(), add_bos=True, special=True)
    written: list[int] = []
    for token in model.generate(tokens, top_k=1, temp=0.0, repeat_penalty=1.0):
        written.append(int(token))
        if len(written) == length or token == model.token_eos():
            break
    return {"prompt": tokens, "written": written}


if __name__ == "__main__":
    main()
