import pytest
from django.core.exceptions import PermissionDenied

from domain.errors import BadInput
from execution.models import Account, KillSwitch
from execution.services import engage, environment, release
from tests.tradingsite.people import person

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("mode", "label"), [("simulated", "SIMULATED"), ("paper", "PAPER"), ("live", "LIVE")])
def test_the_environment_is_what_the_settings_say_until_a_kill_switch_is_engaged(settings, mode, label):
    settings.TRADING_MODE = mode
    assert environment().label == label
    switch = engage(person=person("trader", "tom"))
    assert environment() == ("HALTED", "warning")
    release(switch=switch, person=person("admin", "ann"))
    assert environment().label == label


def test_the_halt_of_one_account_halts_the_environment_too():
    engage(person=person("trader", "tom"), account=Account.objects.create(number="DU1"))
    assert environment().label == "HALTED"


@pytest.mark.parametrize("role", ["viewer", "researcher"])
def test_who_may_not_halt_cannot_engage(role):
    with pytest.raises(PermissionDenied):
        engage(person=person(role, "vera"))
    assert not KillSwitch.objects.exists()


def test_a_switch_says_who_engaged_it_why_and_when():
    tom = person("trader", "tom")
    switch = engage(person=tom, level="flatten", reason="x" * 400)
    switch.refresh_from_db()
    assert (switch.engaged_by, switch.level, switch.reason, switch.released) == (tom, "flatten", "x" * 300, None)


def test_engaging_twice_is_one_halt_but_another_level_or_account_is_another():
    tom = person("trader", "tom")
    first = engage(person=tom)
    assert engage(person=person("trader", "tim")) == first
    assert engage(person=tom, level="cancel") != first
    assert engage(person=tom, account=Account.objects.create(number="DU1")) != first


def test_after_its_release_a_halt_can_be_engaged_again():
    tom, ann = person("trader", "tom"), person("admin", "ann")
    first = engage(person=tom)
    release(switch=first, person=ann)
    assert engage(person=tom) != first


def test_an_unknown_level_is_refused():
    with pytest.raises(BadInput, match="known: pause, cancel, global, flatten"):
        engage(person=person("trader", "tom"), level="nuke")


def test_a_trader_cannot_release():
    switch = engage(person=person("trader", "tom"))
    with pytest.raises(PermissionDenied):
        release(switch=switch, person=person("trader", "tim"))
    assert environment().label == "HALTED"


@pytest.mark.parametrize("superuser", [False, True])
def test_nobody_releases_what_they_engaged_where_another_may(superuser):
    ann = person("admin", "ann")
    person("admin", "amy")
    ann.is_superuser = superuser
    ann.save()
    switch = engage(person=ann)
    with pytest.raises(BadInput, match="another person"):
        release(switch=switch, person=ann)
    switch.refresh_from_db()
    assert switch.released is None


def test_on_a_desk_of_one_nobody_is_locked_out_by_their_own_halt():
    ann = person("admin", "ann")
    person("trader", "tom")
    gone = person("admin", "amy")
    gone.is_active = False
    gone.save()
    switch = engage(person=ann)
    release(switch=switch, person=ann)
    switch.refresh_from_db()
    assert switch.released_by == ann


def test_what_the_machine_engaged_any_admin_releases_and_only_once():
    ann, amy = person("admin", "ann"), person("admin", "amy")
    machine = KillSwitch.objects.create(engaged="2026-01-02T00:00Z")
    release(switch=machine, person=ann)
    with pytest.raises(BadInput, match="released already"):
        release(switch=machine, person=amy)
    machine.refresh_from_db()
    assert machine.released_by == ann
