"""The control port: JSON lines on the loopback interface, one answer per line.

{"do": "stall", "seconds": 30}     any verb with its arguments
{"ask": "ledger"}                  a question: see `QUESTIONS`
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from domain.errors import BadInput, UnknownName
from gateway.simulator.faults import VERBS

if TYPE_CHECKING:
    from gateway.simulator.simulator import Simulator

log = logging.getLogger(__name__)

LONGEST_LINE = 64 * 1024


def _sessions(simulator: Simulator) -> object:
    return [
        {
            "session": session.number,
            "peer": session.peer,
            "client_id": session.client_id,
            "version": session.version,
            "phase": session.phase.value,
            "messages": session.outlet.messages,
            "requests": dict(session.requests),
            "subscriptions": session.subscriptions.names(),
            "waiting_bytes": session.outlet.size,
        }
        for session in simulator.sessions.values()
    ]


def _clock(simulator: Simulator) -> object:
    return {
        "now_ns": simulator.now_ns(),
        "speed": getattr(simulator.clock, "speed", 0.0),
        "skew_seconds": simulator.faults.clock_skew,
    }


def _faults(simulator: Simulator) -> object:
    return [{"at_ns": at, "do": name, **arguments} for at, name, arguments in simulator.faults.log]


def _settings(simulator: Simulator) -> object:
    settings = simulator.settings
    values = {name: getattr(settings, name) for name in type(settings).__slots__}
    return {name: sorted(value) if isinstance(value, set) else value for name, value in values.items()}


QUESTIONS: dict[str, Callable[[Simulator], object]] = {
    "ledger": lambda simulator: list(simulator.exchange.ledger),
    "sessions": _sessions,
    "clock": _clock,
    "faults": _faults,
    "settings": _settings,
    "verbs": lambda _: {name: verb.help for name, verb in sorted(VERBS.items())},
}


def answer_line(simulator: Simulator, line: bytes) -> dict[str, Any]:
    """What a line is answered: `{"ok": true, …}` or `{"ok": false, "error": why}`."""
    try:
        command = json.loads(line)
        if not isinstance(command, dict):
            raise BadInput("not a JSON object")
        if "do" in command:
            name = command.pop("do")
            if not isinstance(name, str):
                raise BadInput("`do` is not a text")
            simulator.faults.do(name, command)
            return {"ok": True}
        if "ask" not in command:
            raise BadInput('neither {"do": verb, …} nor {"ask": question}')
        if len(command) > 1:
            raise BadInput("a question takes nothing else")
        question = QUESTIONS.get(str(command["ask"]))
        if question is None:
            raise UnknownName("question", str(command["ask"]), QUESTIONS)
        with simulator.lock:
            return {"ok": True, "answer": question(simulator)}
    except (BadInput, ValueError, RecursionError) as error:
        return {"ok": False, "error": str(error)}


class ControlProtocol(asyncio.Protocol):
    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            if not line.strip():
                continue
            self._write(answer_line(self._simulator, line))
            if not line.lstrip().startswith(b"{"):
                # Not one of ours: a page in a browser can make it send lines here.
                self._close()
                return
        if len(self._buffer) > LONGEST_LINE and self._transport is not None:
            self._write({"ok": False, "error": f"a line of more than {LONGEST_LINE:,} bytes"})
            self._close()

    def _write(self, answer: dict[str, Any]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(json.dumps(answer).encode() + b"\n")

    def _close(self) -> None:
        self._buffer.clear()
        if self._transport is not None:
            self._transport.close()


__all__ = ["LONGEST_LINE", "QUESTIONS", "ControlProtocol", "answer_line"]
