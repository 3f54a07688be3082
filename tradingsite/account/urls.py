from django.urls import path

from tradingsite.account import pages

app_name = "account"
urlpatterns = [
    path("", pages.overview, name="overview"),
    path("password/", pages.ChangePassword.as_view(), name="password"),
    path("confirm/", pages.confirm, name="confirm"),
    path("second-factor/", pages.second_factor, name="second-factor"),
    path("second-factor/remove/", pages.remove_second_factor, name="remove-second-factor"),
    path("recovery-codes/", pages.new_recovery_codes, name="recovery-codes"),
    path("tokens/", pages.make_token, name="make-token"),
    path("tokens/<slug:pk>/delete/", pages.delete_token, name="delete-token"),
]
