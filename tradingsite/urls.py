from django.contrib import admin
from django.urls import include, path

from tradingsite import probes
from tradingsite.account.pages import Login, Logout

admin.autodiscover()

urlpatterns = [
    path("", include("reports.urls")),
    path("account/", include("tradingsite.account.urls")),
    path("healthz/live", probes.live),
    path("healthz/ready", probes.ready),
    path("metrics", probes.metrics),
    # Ours stand before the admin's: by them come and go people who may not see the admin, too.
    path("admin/login/", Login.as_view()),
    path("admin/logout/", Logout.as_view()),
    path("admin/", admin.site.urls),
    path("api/v1/", include("tradingsite.api")),
]
handler500 = "tradingsite.outage.server_error"
