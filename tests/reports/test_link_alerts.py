"""A connection that is down for long becomes one alert, and not one each time somebody looks."""

from datetime import timedelta

import pytest
from django.utils import timezone

from reports.models import Alert
from reports.services import watch_links
from tests.tradingsite.linkrow import link
from tradingsite.models import GatewayLink

pytestmark = pytest.mark.django_db


def down(seconds: float, **fields) -> None:
    link(state="down", since=timezone.now() - timedelta(seconds=seconds), cause="refused", remedy="start it", **fields)


def test_only_after_the_time_that_is_set(settings):
    settings.LINK_ALERT_SECONDS = 300
    down(299)
    assert watch_links(timezone.now()) == []
    down(301)
    (alert,) = watch_links(timezone.now())
    assert alert.level == "critical"
    assert alert.subject.startswith("The gateway connection data is down since ")
    assert alert.text == "refused. What to do: start it"


def test_once_for_each_time_that_it_is_down():
    down(1000)
    assert len(watch_links(timezone.now())) == 1
    assert watch_links(timezone.now()) == []
    Alert.objects.update(seen=timezone.now())
    assert watch_links(timezone.now()) == [], "it is seen, and still the same"
    Alert.objects.update(created=timezone.now() - timedelta(days=1))
    assert len(watch_links(timezone.now())) == 1, "it was ready in between"


def test_while_the_last_one_is_unseen_there_is_no_second():
    down(1000)
    watch_links(timezone.now())
    Alert.objects.update(created=timezone.now() - timedelta(days=1))
    assert watch_links(timezone.now()) == []
    assert Alert.objects.count() == 1


def test_a_holder_that_says_nothing_is_down_since_it_last_spoke():
    link(seconds_ago=400)
    (alert,) = watch_links(timezone.now())
    assert "its holder has said nothing since" in alert.text


def test_what_is_ready_or_was_never_there_or_ended_as_it_should_makes_none():
    assert watch_links(timezone.now()) == []
    link()
    link("trader:DU1", seconds_ago=9000, state="off")
    assert watch_links(timezone.now()) == []
    GatewayLink.objects.filter(role="data").update(state="off", since=timezone.now() - timedelta(days=1))
    assert len(watch_links(timezone.now())) == 1, "the data link is always wanted"
