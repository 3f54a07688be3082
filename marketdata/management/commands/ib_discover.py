import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from domain.errors import BadInput
from domain.instrument import InstrumentKind
from marketdata import questions
from marketdata.lookup import Candidate, check_wanted
from marketdata.models import GatewayQuestion, Instrument
from tradingsite import runs
from tradingsite.runs import Run, enqueue


class Command(BaseCommand):
    help = (
        "Ask Interactive Brokers which contract a symbol is, and hold it as an instrument. Exit codes: 0 found, 1 not "
        "found or not answered, 2 cannot be asked, 3 several contracts fit (nothing is written: name one of them)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("symbol", help="EURUSD, TSLA, BRK.B, ESZ6")
        kinds = [kind.value for kind in InstrumentKind]
        parser.add_argument("--kind", choices=kinds, default="", help="default: pair, stock, future, index")
        parser.add_argument("--exchange", default="", help="as IB writes it; default SMART")
        parser.add_argument("--currency", default="", help="default: USD for stocks")
        parser.add_argument("--con-id", type=int, default=0, help="IB's contract id, where several contracts fit")
        parser.add_argument("--seconds", type=float, default=60.0, help="how long to wait for the answer (60)")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        narrowed = {name: options[name] for name in ("symbol", "kind", "exchange", "currency", "con_id")}
        try:
            wanted = check_wanted(**narrowed)
        except BadInput as error:
            raise CommandError(str(error), returncode=2) from error
        answer = questions.answer_to(wanted, timezone.now())
        if answer is None:
            # Not as a command: a worker does it, and another one where that dies.
            question = questions.ask_which(wanted=wanted, origin=Run.Origin.API)
            enqueue(question)
            answer = _follow(question, options["seconds"])
        if options["json"]:
            self.stdout.write(json.dumps(_as_dict(answer), indent=1))
        else:
            self._print(answer)
        if answer["candidates"]:
            raise CommandError("several contracts fit; name one by --con-id, --exchange or --currency", returncode=3)

    def _print(self, answer: dict[str, Any]) -> None:
        for each in answer["candidates"]:
            candidate = Candidate(**each)
            self.stdout.write(f"{candidate}  {candidate.name}")
        row = Instrument.objects.filter(pk=answer["instrument"]).first()
        if row is not None:
            place = f"{row.exchange} ({row.primary})" if row.primary else row.exchange
            self.stdout.write(f"{row.symbol}: {row.name}, {row.kind} on {place} in {row.currency}")
            self.stdout.write(
                f"  contract {row.con_id}, calendar {row.calendar}, step {row.tick.normalize():f}, "
                f"multiplier {row.multiplier.normalize():f}, instrument {row.pk}"
            )
        for note in answer["notes"]:
            self.stdout.write(f"  {note}")


def _follow(question: GatewayQuestion, seconds: float) -> dict[str, Any]:
    """Its answer; CommandError where it failed, or has not ended after so long."""
    runs.wait_for(question, seconds)
    answer: dict[str, Any] | None = question.answer
    if answer is not None:
        return answer
    if question.ended:
        raise CommandError(question.error)
    waits = question.waits_for or "a worker of the queue data (`manage.py worker data`)"
    raise CommandError(
        f"no answer after {seconds:g} s: run {question.run_id} is {question.state} and waits for {waits}; it goes on "
        "by itself, ask again later"
    )


def _as_dict(answer: dict[str, Any]) -> dict[str, Any]:
    row = Instrument.objects.filter(pk=answer["instrument"]).first()
    found = {"instrument": answer["instrument"], "candidates": answer["candidates"], "notes": answer["notes"]}
    if row is not None:
        found |= {"symbol": row.symbol, "con_id": row.con_id, "kind": row.kind, "exchange": row.exchange}
        found |= {"primary": row.primary, "currency": row.currency, "calendar": row.calendar, "name": row.name}
    return found
