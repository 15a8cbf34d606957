from tests.server import Server


def test_the_machine_is_told_with_who_uses_it(queueing: Server) -> None:
    reply = queueing.get("/machine").json()

    assert reply["slots"] == {"total": 0, "busy": 0, "jobs": []}
    assert reply["inference"]["requests_running"] == 0
    assert 0 < reply["memory_free_mb"] < reply["memory_total_mb"]
    assert "tiny-python" in reply["models"]
    server = next(process for process in reply["processes"] if process["what"] == "server")
    assert (server["pid"], server["memory_mb"] > 10) == (queueing.process.pid, True)
    assert {"python", "torch", "gguf", "device", "memory", "disk", "models"} <= {c["what"] for c in reply["checks"]}
    assert reply["packages"]["torch"] == next(c["text"] for c in reply["checks"] if c["what"] == "torch").split()[1]
