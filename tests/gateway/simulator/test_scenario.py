# ruff: noqa: E501
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.simulator.faults import VERBS
from gateway.simulator.scenario import ScenarioError, load_scenario, moment_of, parse_scenario
from gateway.simulator.server import DEFAULT_START_NS
from tests.gateway.simulator.worlds import still_simulator

SECOND = 1_000_000_000
EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def fault_of(text: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(text.encode(), "bad.yaml")
    return str(caught.value)


def test_a_scenario_is_read_with_its_seed_its_settings_and_its_steps():
    scenario = parse_scenario(
        b"""
seed: 7
settings: {read_only: true}
steps:
  - at: 10:15
    do: stall
    seconds: 30
  - message: 40
    do: rst
  - request: placeOrder
    nth: 2
    do: swallow
    type: orderStatus
"""
    )
    assert scenario.seed == 7
    assert scenario.settings == {"read_only": True}
    assert [(step.at, step.message, step.request, step.nth, step.do) for step in scenario.steps] == [
        ("10:15", 0, "", 1, "stall"),
        ("", 40, "", 1, "rst"),
        ("", 0, "PlaceOrder", 2, "swallow"),
    ]
    assert scenario.steps[0].arguments == {"seconds": 30}
    assert scenario.steps[2].line == 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "bad.yaml: empty"),
        ("- 1", "bad.yaml:1: the file is not a mapping"),
        ("steps: 5", "bad.yaml:1: steps is not a list"),
        ("stepz: []", "bad.yaml:1: unknown key 'stepz'; did you mean 'steps'?"),
        ("seed: many", "bad.yaml:1: seed is 'many'; expected a whole number"),
        ("seed: true", "bad.yaml:1: seed is True; expected a whole number"),
        ("seed: 1\nseed: 2", "bad.yaml:2: 'seed' is given twice"),
        ("settings: {red_only: true}", "bad.yaml:1: unknown setting 'red_only'; did you mean 'read_only'?"),
        ("steps:\n  - at: '10:15'\n    do: stal\n    seconds: 3", "bad.yaml:3: unknown verb 'stal'; did you mean 'stall'?"),
        ("steps:\n  - at: '10:15'\n    stall: 3", "bad.yaml:2: a step without `do`; write `do: stall`"),
        ("steps:\n  - do: rst", "bad.yaml:2: rst: say when by one of at, message, request; 0 are given"),
        ("steps:\n  - do: rst\n    at: +5\n    message: 4", "bad.yaml:2: rst: say when by one of at, message, request; 2 are given"),
        ("steps:\n  - do: stall\n    at: +5", "bad.yaml:2: stall needs 'seconds'"),
        ("steps:\n  - do: stall\n    at: +5\n    secnds: 4", "bad.yaml:4: stall: unknown key 'secnds'; did you mean 'seconds'?"),
        ("steps:\n  - do: stall\n    at: +5\n    seconds: soon", "bad.yaml:4: stall: seconds is 'soon'; expected a number"),
        ("steps:\n  - do: stall\n    at: +5\n    seconds: -1", "bad.yaml:4: stall: seconds is -1; expected a number"),
        ("steps:\n  - do: stall\n    at: +5\n    seconds: .nan", "bad.yaml:4: stall: seconds is nan; expected a number"),
        ("steps:\n  - do: rst\n    at: noon", "bad.yaml:3: at is 'noon'; expected HH:MM"),
        ("steps:\n  - do: rst\n    at: '25:00'", "bad.yaml:3: at is '25:00': hour must be in 0..23"),
        ("steps:\n  - do: rst\n    at: [1]", "bad.yaml:3: at is ''; expected HH:MM"),
        ("steps:\n  - do: rst\n    message: 0", "bad.yaml:3: message is 0; expected a whole number from 1"),
        ("steps:\n  - do: rst\n    request: placeOrders", "bad.yaml:3: unknown request 'placeOrders'; did you mean 'PlaceOrder'?"),
        ("steps: [a, *b]", "bad.yaml:1: an alias"),
        ("steps: [", "bad.yaml:1: not YAML"),
        ("a: !!python/object:os.system 1", "bad.yaml:1: unknown key 'a'"),
        ("seed: !!python/object/apply:os.system [x]", "bad.yaml:1: not a value"),
        ("steps:\n  - 5", "bad.yaml:2: a step is not a mapping"),
    ],
)  # fmt: skip
def test_an_error_names_file_line_key_and_the_nearest_known_word(text, said):
    assert fault_of(text).startswith(said)


def test_arguments_named_like_a_key_of_the_step_stand_under_with():
    scenario = parse_scenario(b"steps: [{at: +1, do: drop, with: {request: placeOrder, nth: 2, how: rst}}]")
    assert scenario.steps[0].arguments == {"request": "placeOrder", "nth": 2, "how": "rst"}
    assert fault_of("steps:\n- at: +1\n  do: drop\n  with: {requst: x}").startswith(
        "bad.yaml:4: drop: unknown key 'requst'"
    )


def test_the_example_is_read():
    assert len(load_scenario(EXAMPLES / "bad-day.yaml").steps) == 5


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(ScenarioError, match="No such file"):
        load_scenario(tmp_path / "none.yaml")


def test_a_file_that_is_not_text_or_far_too_long_is_refused(tmp_path):
    with pytest.raises(ScenarioError):
        parse_scenario(b"\xff\xfe\x00bad\x80")
    with pytest.raises(ScenarioError, match="at most"):
        parse_scenario(b"#" * 2_000_000)
    with pytest.raises(ScenarioError):
        parse_scenario(b"[" * 100_000)


@given(st.binary(max_size=200) | st.text(alphabet="steps:do at-{}[]'\"\n 1:&*!", max_size=120).map(str.encode))
def test_whatever_is_in_the_file_it_is_read_or_refused_with_a_reason(data):
    try:
        parse_scenario(data)
    except ScenarioError as error:
        assert "scenario" in str(error)


def test_every_verb_says_what_it_does():
    assert len(VERBS) >= 36
    for verb in VERBS.values():
        assert verb.help, verb.name


def test_a_time_of_day_is_the_first_after_the_start():
    assert moment_of("10:15", DEFAULT_START_NS) - DEFAULT_START_NS == 900 * SECOND
    assert moment_of("09:00", DEFAULT_START_NS) - DEFAULT_START_NS == 23 * 3600 * SECOND
    assert moment_of("+90", DEFAULT_START_NS) - DEFAULT_START_NS == 90 * SECOND
    assert moment_of("2026-03-05 10:00:01", DEFAULT_START_NS) - DEFAULT_START_NS == 86401 * SECOND


def test_steps_happen_at_their_time_in_order_and_once():
    scenario = parse_scenario(
        b"""
steps:
  - {at: +20, do: bulletin, text: second}
  - {at: +10, do: bulletin, text: first}
"""
    )
    simulator = still_simulator(scenario=scenario)
    simulator.pass_time(9)
    assert simulator.bulletins == []
    simulator.pass_time(60)
    simulator.pass_time(60)
    assert [text for _, _, text, _ in simulator.bulletins] == ["first", "second"]
    start = DEFAULT_START_NS
    assert [(at - start) // SECOND for at, _, _ in simulator.faults.log] == [10, 20]


def test_the_same_seed_garbles_the_same_bytes():
    def garbled(seed: int) -> list[bytes]:
        simulator = still_simulator(seed=seed)
        simulator.faults.garble(count=100)
        session = simulator.connect("test:0")
        for _ in range(20):
            session.outlet.put(b"4\x002\x00-1\x002104\x00all is well\x00")
        return session.outlet.take()

    seed = random.randrange(10**6)
    print(f"seed {seed}")
    assert garbled(seed) == garbled(seed)
    assert garbled(seed) != garbled(seed + 1)
