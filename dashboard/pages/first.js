// What stands in place of an empty list: the whole way in three steps, with a job that takes seconds.

import { html } from "htm/preact";
import { post } from "../lib/api.js";
import { go } from "../lib/router.js";
import { Button, LinkButton } from "../parts/button.js";
import { Heading, useTitle } from "../parts/small.js";

const TASKS = [
  ["Add two numbers", "def add(a, b):\n    return a + b"],
  ["Double a number", "def double(n):\n    return 2 * n"],
  ["Square a number", "def square(n):\n    return n * n"],
  ["Negate a number", "def negate(n):\n    return -n"],
  ["Reverse a text", "def reverse(text):\n    return text[::-1]"],
  ["First item of a list", "def first(items):\n    return items[0]"],
  ["Last item of a list", "def last(items):\n    return items[-1]"],
  ["Length of a list", "def length(items):\n    return len(items)"],
  ["Sum of a list", "def total(items):\n    return sum(items)"],
  ["Greatest of two numbers", "def greatest(a, b):\n    return a if a > b else b"],
  ["Is a number even", "def is_even(n):\n    return n % 2 == 0"],
  ["Join two texts", "def join(a, b):\n    return a + b"],
];

export const EXAMPLE = {
  model_name: "tiny-python",
  adapter_name: "my-first",
  description: "The example of the first page",
  train_texts: TASKS.map(([task, code]) => `### Instruction:\n${task}\n\n### Response:\n${code}`),
  lora_config: { r: 16, lora_alpha: 32, target_modules: "all-linear" },
  training_config: {
    max_steps: 60, batch_size: 4, gradient_accumulation_steps: 1, learning_rate: 5e-3, logging_steps: 2, eval_steps: 20,
  },
  sample_prompts: ["### Instruction:\nAdd two numbers\n\n### Response:\n"],
};

export function FirstVisit() {
  useTitle("Welcome");
  const begin = async () => {
    const { job_id: id } = await post("/api/training/start", EXAMPLE);
    go(["jobs", id]);
  };
  return html`
    <${Heading}>Teach a small model something in two minutes<//>
    <section class="panel stack">
      <ol class="steps">
        <li>
          <h2>Train the bundled model on 12 examples</h2>
          <div class="under stack">
            <p class="quiet">Each is a task and the Python function that solves it. It takes well under a minute on most machines.</p>
            <div><${Button} kind="main" icon="play" onPress=${begin}>Start the example<//></div>
          </div>
        </li>
        <li><h2>Watch its loss fall</h2><p class="under quiet">The job's page opens and draws its curve as it goes.</p></li>
        <li><h2>Ask it before and after</h2><p class="under quiet">When it is done, one press puts its answers beside those of the base model.</p></li>
      </ol>
    </section>
    <div class="row"><span class="quiet">Or with your own texts:</span>
      <${LinkButton} icon="plus" href="#/new">New job<//></div>
    <p class="quiet small">Every job is a folder in <code>training_jobs/</code>, and what it makes is a folder in <code>adapters/</code>.</p>
  `;
}
