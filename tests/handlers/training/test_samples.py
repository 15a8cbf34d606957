from tests.server import Server


def test_samples_are_the_lines_of_the_jobs_file_and_a_torn_one_is_passed_over(queueing: Server) -> None:
    job_id = queueing.start(sample_prompts=["1 +", [{"role": "user", "content": "2?"}]])
    before = queueing.get(f"/training/samples/{job_id}").json()
    (queueing.job_folder(job_id) / "samples.jsonl").write_text(
        '{"step":0,"prompt":"1 +","answer":" 1","finish_reason":"length"}\n'
        '{"step":0,"prompt":[{"role":"user","content":"2?"}],"answer":"Yes","finish_reason":"stop"}\n'
        '{"step":5,"pro'
    )

    reply = queueing.get(f"/training/samples/{job_id}").json()

    assert before == {"job_id": job_id, "samples": [], "total": 0}
    assert reply["total"] == 2
    assert reply["samples"] == [
        {"step": 0, "prompt": "1 +", "answer": " 1", "finish_reason": "length"},
        {"step": 0, "prompt": [{"role": "user", "content": "2?"}], "answer": "Yes", "finish_reason": "stop"},
    ]
