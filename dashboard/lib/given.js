// What the server has put into the page: answers of the API, by their paths, with which the list of jobs is drawn at once.
// Each is good once, and none is when the stream has begun to tell what changes.

const answers = new Map(Object.entries(JSON.parse(document.getElementById("answers").textContent)));

// The jobs of these answers, by id: what the page knows before it has asked anything.
export const jobs = new Map([...answers.values()].flatMap((answer) => answer.jobs ?? []).map((job) => [job.job_id, job]));

// What a path answers, or null.
export function take(path) {
  const answer = answers.get(path) ?? null;
  answers.delete(path);
  return answer;
}

export const forget = () => answers.clear();
