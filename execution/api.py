"""The books in the REST API, read-only, and the kill switch."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from execution.models import Account, Fill, KillSwitch, Order, Position
from execution.services import engage, release
from tradingsite.endpoints import Endpoint, IdFilter, Ordering, Strict

A_NUMBER = "[0-9]{1,18}"
ORDER_STATES, ACCOUNT_KINDS, HALT_LEVELS = Order.State.choices, Account.Kind.choices, KillSwitch.Level.choices


class Facts(Endpoint, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Rows that the trader writes and nobody else."""

    filter_backends = (filters.DjangoFilterBackend, Ordering)
    lookup_value_regex = A_NUMBER


class AccountFields(serializers.ModelSerializer):
    class Meta:
        model = Account
        fields = ("id", "number", "name", "kind", "currency", "active")


class Accounts(Facts):
    """Accounts at the gateway."""

    queryset = Account.objects.all()
    serializer_class = AccountFields
    filterset_fields = ("kind", "active")
    ordering_fields = ("number", "id")


class OrderFields(serializers.ModelSerializer):
    account = serializers.CharField(source="account.number", read_only=True)
    symbol = serializers.CharField(source="instrument.symbol", read_only=True)

    class Meta:
        model = Order
        fields = (
            "id", "ref", "account", "instrument", "symbol", "strategy", "side", "quantity", "order_type", "limit_price",
            "stop_price", "time_in_force", "state", "filled", "average_price", "reason", "denied_by", "parent",
            "perm_id", "created", "sent", "ended", "updated",
        )  # fmt: skip


class BookFilter(filters.FilterSet):
    account = filters.CharFilter(field_name="account__number", max_length=32)
    instrument = IdFilter(field_name="instrument_id")
    symbol = filters.CharFilter(field_name="instrument__symbol", max_length=32)


class OrderFilter(BookFilter):
    state = filters.MultipleChoiceFilter(choices=ORDER_STATES)
    open = filters.BooleanFilter(method="only_open", help_text="orders that may still fill")
    strategy = filters.CharFilter(max_length=64)
    side = filters.ChoiceFilter(choices=Order.Side.choices)
    created_after = filters.IsoDateTimeFilter(field_name="created", lookup_expr="gte")
    created_before = filters.IsoDateTimeFilter(field_name="created", lookup_expr="lt")

    def only_open(self, rows: Any, name: str, value: bool) -> Any:
        return rows.filter(state__in=Order.OPEN) if value else rows.exclude(state__in=Order.OPEN)


class Orders(Facts):
    """Orders, from the intent to their end. Orders are placed by the trader, never through the API."""

    queryset = Order.objects.select_related("account", "instrument")
    serializer_class = OrderFields
    filterset_class = OrderFilter
    ordering_fields = ("created", "id")


class FillFields(serializers.ModelSerializer):
    account = serializers.CharField(source="account.number", read_only=True)
    symbol = serializers.CharField(source="instrument.symbol", read_only=True)
    order = serializers.CharField(source="order.ref", read_only=True, allow_null=True, default=None)

    class Meta:
        model = Fill
        fields = (
            "id", "exec_id", "revision", "order", "account", "instrument", "symbol", "side", "quantity", "price",
            "commission", "commission_currency", "time", "booked",
        )  # fmt: skip


class FillFilter(BookFilter):
    order = filters.CharFilter(field_name="order__ref", max_length=40)
    after = filters.IsoDateTimeFilter(field_name="time", lookup_expr="gte")
    before = filters.IsoDateTimeFilter(field_name="time", lookup_expr="lt")


class Fills(Facts):
    """Executions."""

    queryset = Fill.objects.select_related("account", "instrument", "order")
    serializer_class = FillFields
    filterset_class = FillFilter
    ordering_fields = ("time", "id")


class PositionFields(serializers.ModelSerializer):
    account = serializers.CharField(source="account.number", read_only=True)
    symbol = serializers.CharField(source="instrument.symbol", read_only=True)

    class Meta:
        model = Position
        fields = (
            "id", "account", "instrument", "symbol", "quantity", "average_price", "last_price", "halted", "updated",
        )  # fmt: skip


class Positions(Facts):
    """Signed units of each instrument in each account."""

    queryset = Position.objects.select_related("account", "instrument")
    serializer_class = PositionFields
    filterset_class = BookFilter
    ordering_fields = ("updated", "id")


class SwitchFields(serializers.ModelSerializer):
    account = serializers.CharField(source="account.number", read_only=True, allow_null=True, default=None)
    engaged_by: Any = serializers.SlugRelatedField(slug_field="username", read_only=True, allow_null=True)
    released_by: Any = serializers.SlugRelatedField(slug_field="username", read_only=True, allow_null=True)

    class Meta:
        model = KillSwitch
        fields = ("id", "account", "level", "reason", "engaged", "engaged_by", "released", "released_by")


class Halt(Strict):
    account = serializers.SlugRelatedField(
        slug_field="number", queryset=Account.objects.all(), required=False, allow_null=True, help_text="none: all"
    )
    level = serializers.ChoiceField(choices=HALT_LEVELS, default=KillSwitch.Level.PAUSE)
    reason = serializers.CharField(max_length=300, required=False, allow_blank=True, default="")


class SwitchFilter(filters.FilterSet):
    engaged = filters.BooleanFilter(field_name="released", lookup_expr="isnull", help_text="those not yet released")


class KillSwitches(Facts):
    """Halts. One person engages; another, of the role admin, releases."""

    queryset = KillSwitch.objects.select_related("account", "engaged_by", "released_by")
    serializer_class = SwitchFields
    filterset_class = SwitchFilter
    ordering_fields = ("engaged", "id")

    @extend_schema(
        request=Halt,
        responses=SwitchFields,
        examples=[OpenApiExample("all accounts", {"level": "pause", "reason": "odd fills"}, request_only=True)],
    )
    @action(detail=False, methods=["post"], needs=("execution.halt",))
    def engage(self, request: Request) -> Response:
        asked = Halt(data=request.data)
        asked.is_valid(raise_exception=True)
        return Response(SwitchFields(engage(person=request.user, **asked.validated_data)).data)  # type: ignore[arg-type]

    @extend_schema(request=None, responses=SwitchFields)
    @action(detail=True, methods=["post"], needs=("execution.resume",))
    def release(self, request: Request, **_: Any) -> Response:
        switch = self.get_object()
        release(switch=switch, person=request.user)  # type: ignore[arg-type]
        return Response(SwitchFields(switch).data)


VIEWSETS: dict[str, Any] = {
    "accounts": Accounts,
    "orders": Orders,
    "fills": Fills,
    "positions": Positions,
    "kill-switch": KillSwitches,
}
