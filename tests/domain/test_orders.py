from domain.orders import CancelIntent, OrderIntent, OrderStatus, OrderType, Side, TimeInForce


def test_a_side_is_the_sign_of_a_quantity():
    assert (Side.BUY * 5, Side.SELL * 5) == (5, -5)
    assert (Side.BUY.label, Side.SELL.label) == ("buy", "sell")


def test_the_names_in_ledgers_do_not_change():
    assert [kind.value for kind in OrderType] == [
        "market",
        "limit",
        "stop",
        "stop_limit",
        "trailing_stop",
        "market_on_close",
    ]
    assert [status.value for status in OrderStatus] == [
        "working",
        "filled",
        "cancelled",
        "expired",
        "denied",
        "rejected",
    ]
    assert [force.value for force in TimeInForce] == ["day", "gtc"]


def test_an_intent_says_nothing_that_was_not_said():
    assert set(OrderIntent()) == {None, ""}
    assert CancelIntent() == ("", "")
