import math
import signal
import threading
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from domain.errors import BadInput
from gateway.simulator.market import Market
from gateway.simulator.scenario import Scenario, load_scenario
from gateway.simulator.server import SimulatorHandle, start_simulator, walk_market
from marketdata.simulation import folder_market, store_market

_NEW_YORK = ZoneInfo("America/New_York")
_FASTEST = 100_000

_HOW_TO = """\
    from ib_insync import IB, MarketOrder, Stock

    ib = IB()
    ib.connect("{host}", {port}, clientId=1)
    stock = Stock("{symbol}", "SMART", "USD")
    ib.qualifyContracts(stock)
    bars = ib.reqHistoricalData(stock, "", "2 D", "5 mins", "TRADES", useRTH=True, formatDate=2)
    trade = ib.placeOrder(stock, MarketOrder("BUY", 10))
    ib.sleep(3)
    print(bars[-1], trade.orderStatus.status, trade.fills, sep="\\n")"""


class Command(BaseCommand):
    help = (
        "Run a simulated IB gateway that ib_insync, ib_async and IB's own client can connect to. No real market, no "
        "real money. Exit codes: 0 ended by Ctrl-C or SIGTERM, 2 wrong use or a port that is taken."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="default 127.0.0.1: this machine alone")
        parser.add_argument("--port", type=int, default=4002, help="0 takes a free one; default 4002")
        parser.add_argument(
            "--prices",
            default="walk",
            metavar="store|walk|DIR",
            help="the bars that are stored here, prices made up from the seed (default), or CSV and Parquet files",
        )
        parser.add_argument(
            "--start", default="now", help="exchange time: now (default), or YYYY-MM-DD HH:MM[:SS] in New York"
        )
        parser.add_argument("--speed", type=float, default=1.0, help="exchange seconds in a second; default 1")
        parser.add_argument("--seed", type=int, help="of prices and faults; default the scenario's, else 1")
        parser.add_argument("--scenario", type=Path, help="YAML file that says what goes wrong when")
        parser.add_argument("--accounts", default="DU1000001", help="with commas between them; default DU1000001")
        parser.add_argument("--cash", type=float, default=1_000_000.0, help="of each new account; default 1000000")
        parser.add_argument(
            "--state", default="", metavar="FILE|none", help="keeps orders, executions and positions over restarts"
        )
        parser.add_argument("--control-port", type=int, help="JSON lines on the loopback interface; 0 takes a free one")
        parser.add_argument("--max-version", type=int, default=176, choices=(176, 178), help="of the protocol")

    def handle(self, *args: Any, **options: Any) -> None:
        handle = _start(options)
        ended = threading.Event()

        def end(signum: int, frame: FrameType | None) -> None:
            ended.set()

        before = {signum: signal.signal(signum, end) for signum in (signal.SIGINT, signal.SIGTERM)}
        try:
            self.stdout.write(_banner(handle, options))
            self.stdout.flush()
            while handle.is_running and not ended.wait(1.0):
                pass
            if not handle.is_running:
                raise CommandError("the simulator has ended by itself; its log says why", returncode=1)
        finally:
            handle.stop()
            for signum, handler in before.items():
                signal.signal(signum, handler)
        self.stdout.write("The simulated gateway has ended.")


def _start(options: dict[str, Any]) -> SimulatorHandle:
    host, port = options["host"], options["port"]
    try:
        scenario = load_scenario(options["scenario"]) if options["scenario"] else None
        seed = _seed(options["seed"], scenario)
        start_ns = start_of(options["start"])
        return start_simulator(
            host=host,
            port=_port(port, "--port") or 0,
            control_port=_port(options["control_port"], "--control-port"),
            market=_market(options["prices"], seed, start_ns),
            start_ns=start_ns,
            speed=_within(options["speed"], 0, _FASTEST, "--speed"),
            seed=seed,
            accounts=_accounts(options["accounts"]),
            cash=_within(options["cash"], 0, 1e12, "--cash"),
            state=_state(options["state"], port),
            scenario=scenario,
            max_version=options["max_version"],
        )
    except BadInput as error:
        raise CommandError(str(error), returncode=2) from error
    except OSError as error:
        raise CommandError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; is another gateway running there? Give --port",
            returncode=2,
        ) from error


def start_of(text: str) -> int:
    """--start as UTC nanoseconds. Raises BadInput."""
    if text == "now":
        return round(datetime.now(UTC).timestamp()) * 1_000_000_000
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"--start {text!r}: expected now or YYYY-MM-DD HH:MM[:SS]") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=_NEW_YORK)
    if not 2000 <= moment.year <= 2100:
        raise BadInput(f"--start {text!r}: a year from 2000 to 2100")
    return round(moment.timestamp()) * 1_000_000_000


def _seed(given: int | None, scenario: Scenario | None) -> int:
    if given is not None:
        return given
    return scenario.seed if scenario is not None and scenario.seed is not None else 1


def _port(port: int | None, option: str) -> int | None:
    if port is not None and not 0 <= port <= 65535:
        raise BadInput(f"{option} {port}: expected 0 to 65535")
    return port


def _within(number: float, lowest: float, highest: float, option: str) -> float:
    if not (math.isfinite(number) and lowest <= number <= highest):
        raise BadInput(f"{option} {number:g}: expected {lowest:g} to {highest:g}")
    return number


def _accounts(text: str) -> list[str]:
    accounts = [each.strip() for each in text.split(",") if each.strip()]
    for account in accounts:
        if not (account.isascii() and account.isalnum() and account.startswith("D") and len(account) <= 15):
            raise BadInput(
                f"--accounts {account!r}: letters and digits that begin with D, as IB's paper accounts do, so that "
                "nobody takes it for a live one"
            )
    if not accounts or len(set(accounts)) != len(accounts):
        raise BadInput("--accounts: give at least one, each once")
    return accounts


def _market(prices: str, seed: int, start_ns: int) -> Market:
    if prices == "walk":
        return walk_market(seed, start_ns)
    if prices == "store":
        return store_market(seed, start_ns)
    return folder_market(Path(prices), seed, start_ns)


def _state(given: str, port: int) -> Path | None:
    if given == "none":
        return None
    return Path(given) if given else Path(settings.VAR_DIR) / f"simulator-{port}.sqlite3"


def _banner(handle: SimulatorHandle, options: dict[str, Any]) -> str:
    with handle.simulator.lock:
        simulator = handle.simulator
        now_ns = simulator.now_ns()
        listings = simulator.market.listings()
        symbol = "AAPL" if any(each.contract.symbol == "AAPL" for each in listings) else listings[0].contract.symbol
        first = next(each for each in listings if each.contract.symbol == symbol)
        is_open = simulator.market.session(first.con_id, now_ns, False) is not None
        accounts = ", ".join(simulator.settings.accounts)
        seed = simulator.settings.seed
    now = datetime.fromtimestamp(now_ns / 1e9, _NEW_YORK)
    rows = [
        ("address", f"{handle.host}:{handle.port}"),
        ("accounts", accounts),
        ("exchange time", f"{now:%Y-%m-%d %H:%M:%S} {now.tzname()}, {options['speed']:g} times as fast as real time"),
        ("market", "open" if is_open else "closed: give --start 2026-03-04T10:00 to trade at once"),
        ("prices", f"{options['prices']}, {len(listings)} contracts, seed {seed}"),
        ("control port", str(handle.control_port) if handle.control_port is not None else "none (--control-port)"),
        ("state", str(_state(options["state"], options["port"]) or "not kept")),
    ]
    lines = ["SIMULATED IB gateway: no real market, no real money."]
    lines += [f"  {name:14}{value}" for name, value in rows]
    how_to = _HOW_TO.format(host=handle.host, port=handle.port, symbol=symbol)
    return "\n".join([*lines, "", "To try it:", "", how_to, "", "Ctrl-C ends it."])
