"""The wire between agent and worker keeps messages whole, whoever writes to it."""

from __future__ import annotations

import os
import threading

from orchestrator.channel import Channel, open_wire


def test_long_messages_of_many_threads_arrive_whole():
    agent, (reads, writes) = open_wire()
    worker = Channel(reads, writes)
    text = "x" * 20_000

    def say(name: int) -> None:
        for _ in range(20):
            worker.send("said", name=name, text=text)

    threads = [threading.Thread(target=say, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    heard = [agent.receive() for _ in range(120)]
    for thread in threads:
        thread.join()
    assert {message.kind for message in heard} == {"said"}
    assert all(message.data["text"] == text for message in heard)
    agent.close()
    worker.close()


def test_a_broken_line_is_no_message_and_does_no_harm():
    agent, (reads, writes) = open_wire()
    worker = Channel(reads, writes)
    os.write(writes, b'{"kind": "cl{"kind": "told"}\n[1]\n')
    worker.send("ready")
    assert [agent.receive().kind for _ in range(3)] == ["garbled", "garbled", "ready"]
    agent.close()
    worker.close()
