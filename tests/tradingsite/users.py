"""Users of each role, for tests of pages."""

from django.contrib.auth.models import Group, User

PASSWORD = "correct horse battery"


def person(name: str = "vera", *roles: str, **fields) -> User:
    user = User.objects.create_user(name, password=PASSWORD, **fields)
    user.groups.set(Group.objects.filter(name__in=roles))
    return user
