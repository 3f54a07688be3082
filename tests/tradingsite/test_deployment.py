"""The image, the compose file and the systemd units hold what docs/deployment.md promises, as far as files can show."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE_FILE = ROOT / "docker-compose.yml"
COMPOSE = yaml.safe_load(COMPOSE_FILE.read_text())
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "ibdesk:local"}
ONE_SHOT = {"migrate", "gateway-check"}
QUEUES = {"data", "import", "scan", "backtest", "report", "notify", "maintenance"}
ROLES = {"web", "beat", "simulator", "worker", "migrate"}
SYSTEMD = ROOT / "deploy" / "systemd"
# A template is checked as one of its instances.
UNITS = {
    "ibdesk-web.service": "ibdesk-web.service",
    "ibdesk-beat.service": "ibdesk-beat.service",
    "ibdesk-simulator.service": "ibdesk-simulator.service",
    "ibdesk-migrate.service": "ibdesk-migrate.service",
    "ibdesk-worker@backtest.service": "ibdesk-worker@.service",
}
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


def instructions(name: str) -> list[str]:
    """The arguments of each of the Dockerfile's instructions of that name, continued lines joined."""
    lines = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [line.split(maxsplit=1)[1] for line in lines if line.startswith(f"{name} ")]


def is_pinned(image: str) -> bool:
    return re.fullmatch(r"[\w./-]+:v?\d+\.\d+(\.\d+)?[\w.-]*", image) is not None


# The image


def test_the_image_is_built_on_one_version_and_runs_as_a_user_without_rights():
    assert [is_pinned(image) for image in instructions("FROM")] == [True]
    *_, last = instructions("USER")
    assert last == "ibdesk"
    assert any(
        "useradd --system --user-group --uid 10001 --home-dir /var/lib/ibdesk" in run for run in instructions("RUN")
    )


def test_the_image_installs_only_what_the_hashes_name():
    (install,) = (run for run in instructions("RUN") if "pip install" in run)
    assert {"--require-hashes", "--only-binary=:all:", "requirements/runtime.txt"} <= set(install.split())


def test_the_pins_of_the_image_hold_a_driver_for_the_database_of_the_compose_file():
    assert OURS["web"]["environment"]["DATABASE_URL"].startswith("postgres://")
    assert re.search(r"^psycopg==", (ROOT / "requirements/runtime.txt").read_text(), re.MULTILINE)


def test_no_secret_is_baked_into_the_image():
    assert instructions("ARG") == []
    assert not re.search(r"KEY|PASSWORD|SECRET|TOKEN|URL", " ".join(instructions("ENV")))
    assert not re.search(r"\bADD\b", DOCKERFILE)


def copied() -> set[str]:
    return {source for line in instructions("COPY") for source in line.split()[:-1]}


def test_the_image_copies_the_rooms_and_nothing_else():
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert copied() == rooms | {"manage.py", "templates", "requirements/runtime.txt"}


def test_the_build_sees_nothing_but_what_is_copied():
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == copied()
    assert {"**/.env*", "**/__pycache__"} <= set(lines[lines.index("!templates") :])


def test_what_is_copied_is_enough_to_collect_the_static_files_without_a_database(tmp_path):
    image, state = tmp_path / "image", tmp_path / "state"
    for source in copied() - {"requirements/runtime.txt"}:
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        image.mkdir(exist_ok=True)
        copy(ROOT / source, image / source)
    environment = {"PATH": os.environ["PATH"], "DEBUG": "false", "SECRET_KEY": "k" * 50, "VAR_DIR": str(state)}
    environment["STATIC_ROOT"] = str(state / "static")
    command = [sys.executable, "manage.py", "collectstatic", "--noinput", "--verbosity", "0"]
    done = subprocess.run(command, cwd=image, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (state / "static" / "admin").is_dir()
    assert [path.name for path in state.iterdir()] == ["static"]


# The compose file


def test_the_compose_file_follows_the_specification():
    command = [
        Path(sys.executable).parent / "check-jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        COMPOSE_FILE,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_services_are_the_stores_the_roles_and_the_gateway():
    workers = {f"worker-{queue}" for queue in QUEUES}
    assert OURS.keys() == {"migrate", "web", "beat", "simulator"} | workers
    assert SERVICES.keys() - OURS.keys() == {"db", "redis", "gateway-check", "ib-gateway"}
    assert {name for name, service in SERVICES.items() if service.get("profiles")} == {"gateway-check", "ib-gateway"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined(name):
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["init"] is True
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    # The gateway's image writes its configuration into its own home.
    assert service["read_only"] is (name != "ib-gateway")
    assert "/tmp" in service["tmpfs"] or name == "ib-gateway"
    # A new volume is root's; the one-shot that gives it away may do that and nothing else.
    assert (
        (service["user"], service.get("cap_add")) == ("root", ["CHOWN"])
        if name == "gateway-check"
        else (service["user"] not in {"root", "0", "0:0"} and "cap_add" not in service)
    )
    assert "privileged" not in service
    assert "env_file" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_comes_back_and_says_how_it_is_unless_it_runs_once(name):
    service = SERVICES[name]
    if name in ONE_SHOT:
        assert service["restart"] == "no"
        return
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert {"interval", "timeout", "retries"} <= service["healthcheck"].keys()
    seconds = int(service["stop_grace_period"].removesuffix("s"))
    assert seconds >= (60 if name.startswith("worker-") else 30)


@pytest.mark.parametrize("name", OURS)
def test_a_check_that_starts_python_does_so_once_a_minute_and_asks_about_its_own_service(name):
    if name == "migrate":
        return
    check = SERVICES[name]["healthcheck"]
    assert check["interval"] == "60s"
    role, *queue = SERVICES[name]["command"]
    if role == "web":
        assert "/healthz/live" in check["test"][-1]
    elif role == "simulator":
        assert check["test"][1:] == ["python", "manage.py", "doctor", "--process", "simulator"]
    else:
        assert check["test"][1:] == ["python", "manage.py", "doctor", "--process", ":".join([role, *queue])]


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_a_role_and_a_worker_serves_the_queue_it_is_named_after(name):
    role, *arguments = SERVICES[name]["command"]
    assert role in ROLES
    assert name == (f"worker-{arguments[0]}" if role == "worker" else role)
    assert instructions("ENTRYPOINT") == ['["python", "manage.py"]']
    assert "entrypoint" not in SERVICES[name]


@pytest.mark.parametrize("name", sorted(OURS.keys() - {"migrate"}))
def test_nothing_starts_before_the_tables_and_the_broker_are_there(name):
    needs = {other: how["condition"] for other, how in SERVICES[name]["depends_on"].items()}
    assert needs == {"migrate": "service_completed_successfully", "redis": "service_healthy"}
    assert SERVICES["migrate"]["depends_on"] == {"db": {"condition": "service_healthy"}}


def test_one_service_builds_the_image_and_no_other_looks_for_it_elsewhere():
    assert [name for name, service in SERVICES.items() if "build" in service] == ["migrate"]
    assert {service["pull_policy"] for service in OURS.values()} == {"never"}


def test_every_image_from_elsewhere_is_one_version():
    images = {service["image"] for name, service in SERVICES.items() if name not in OURS}
    assert all(is_pinned(re.sub(r"^\$\{IB_GATEWAY_IMAGE:-(.+)\}$", r"\1", image)) for image in images), images


def test_ports_are_published_on_loopback_alone():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert published["ib-gateway"] == ["127.0.0.1:4002:4004", "127.0.0.1:5900:5900"]
    assert published.keys() == {"web", "ib-gateway"}


def test_the_stores_have_no_way_out_and_the_gateway_is_in_a_network_of_its_own():
    assert COMPOSE["networks"]["backend"] == {"internal": True}
    assert SERVICES["db"]["networks"] == SERVICES["redis"]["networks"] == ["backend"]
    reaching = {name for name, service in SERVICES.items() if "gateway" in service.get("networks", [])}
    assert reaching == {"ib-gateway", "worker-data"}
    assert SERVICES["simulator"]["networks"] == ["backend"]


def test_the_gateway_logs_in_on_paper_takes_no_orders_and_its_login_goes_nowhere_else():
    environment = SERVICES["ib-gateway"]["environment"]
    assert environment["TRADING_MODE"] == "paper"
    assert environment["READ_ONLY_API"] == "${READ_ONLY_API:-yes}"
    assert environment["AUTO_RESTART_TIME"]
    knowing = {name for name, service in SERVICES.items() if "TWS_PASSWORD" in str(service.get("environment"))}
    assert knowing == {"ib-gateway", "gateway-check"}


def test_every_folder_of_state_is_a_volume():
    """The root is read-only, so a folder that settings add below VAR_DIR needs a volume (and a line in the image)."""
    folders = set(re.findall(r'VAR_DIR / "(\w+)"', (ROOT / "tradingsite/settings.py").read_text()))
    folders -= {"run", "secret_key"}  # of the embedded queue, and where none is given
    assert {"bars", "cache", "runs", "uploads"} <= folders
    mounted = {f"{folder}:/var/lib/ibdesk/{folder}" for folder in folders}
    for service in OURS.values():
        assert set(service["volumes"]) == mounted | {"./plugins:/plugins:ro"}
    (made,) = (run for run in instructions("RUN") if "install --directory" in run)
    assert set(re.findall(r'"\$VAR_DIR/(\w+)"', made)) == folders
    named = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert named - {"./plugins"} == COMPOSE["volumes"].keys() == folders | {"db", "broker", "gateway"}


def test_every_variable_of_the_compose_file_is_explained():
    text = re.sub(r"^\s*#.*\n", "", COMPOSE_FILE.read_text(), flags=re.MULTILINE).replace("$$", "")
    asked = dict(re.findall(r"\$\{(\w+)([^}]*)\}", text))
    handed_on = {name for name, value in OURS["web"]["environment"].items() if value is None}
    example = set(re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    hinted = {name for name, rest in asked.items() if rest.startswith(":?") and len(rest) > 20}
    login = {"TWS_USERID", "TWS_PASSWORD", "VNC_SERVER_PASSWORD"}
    assert {"SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD"} == hinted
    assert (asked.keys() | handed_on) - hinted - login - example == set()


def test_nothing_that_only_a_profile_needs_is_required_of_everybody():
    for name in ("gateway-check", "ib-gateway"):
        assert not re.search(r"(?<!\$)\$\{\w+:\?", str(SERVICES[name])), name


@needs_bash
@pytest.mark.parametrize("missing", ["TWS_USERID", "TWS_PASSWORD"])
def test_the_gateway_without_a_login_says_what_is_missing(missing):
    *shell, script = SERVICES["gateway-check"]["entrypoint"]
    login = {"TWS_USERID": "someone", "TWS_PASSWORD": "something"} | {missing: ""}
    command = [*shell, script.replace("$$", "$")]
    done = subprocess.run(
        command, env={"PATH": os.environ["PATH"]} | login, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert re.search(rf"{missing}: put the .+ of your paper account into .env", done.stderr)
    assert "chown" not in done.stderr


# systemd


def directives(name: str) -> dict[str, list[str]]:
    """Key → its values in the unit and in the drop-in that all units share."""
    text = (SYSTEMD / name).read_text()
    if name.startswith("ibdesk-"):
        text += (SYSTEMD / "ibdesk-.service.d" / "10-sandbox.conf").read_text()
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


@pytest.fixture
def units(tmp_path) -> Path:
    """A folder of the units as installed, with a program that exists on this machine."""
    shutil.copytree(SYSTEMD, tmp_path / "units")
    for instance, source in UNITS.items():
        text = (SYSTEMD / source).read_text()
        (tmp_path / "units" / instance).write_text(text.replace("/opt/ibdesk/.venv/bin/python", sys.executable))
    return tmp_path / "units"


def analyze(units: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "SYSTEMD_UNIT_PATH": f"{units}:"}
    command = ["systemd-analyze", "--no-pager", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_there_is_a_unit_for_each_role_and_every_unit_is_looked_at():
    assert {path.name for path in SYSTEMD.glob("*.service")} == set(UNITS.values())
    roles = set()
    for name in UNITS.values():
        for line in directives(name)["ExecStart"]:
            program, script, role, *arguments = line.split()
            assert (program, script) == ("/opt/ibdesk/.venv/bin/python", "manage.py")
            assert (arguments == ["%i"]) is (role == "worker")
            roles.add(role)
    assert roles == ROLES | {"collectstatic"}


def test_the_target_wants_every_role_and_a_worker_for_each_queue():
    target = directives("ibdesk.target")
    wanted = {unit for line in target["Wants"] for unit in line.split()}
    roles = {f"ibdesk-{role}.service" for role in ("web", "beat", "simulator")}
    assert wanted == roles | {f"ibdesk-worker@{q}.service" for q in QUEUES}
    assert target["WantedBy"] == ["multi-user.target"]


@pytest.mark.parametrize(
    "name", ["ibdesk-web.service", "ibdesk-beat.service", "ibdesk-simulator.service", "ibdesk-worker@.service"]
)
def test_a_role_comes_back_stops_gently_and_waits_for_the_tables(name):
    unit = directives(name)
    expected = {"Type": "exec", "Restart": "always", "KillMode": "mixed", "TimeoutStopSec": "90"}
    assert {key: unit[key] for key in expected} == {key: [value] for key, value in expected.items()}
    assert unit["PartOf"] == ["ibdesk.target"]
    assert unit["Requires"] == ["ibdesk-migrate.service"]
    assert {"network-online.target", "ibdesk-migrate.service"} <= set(unit["After"][0].split())
    assert unit["Wants"] == ["network-online.target"]
    head = (SYSTEMD / name).read_text().split("[Service]")[0]
    assert re.search(r"^StartLimitIntervalSec=", head, re.MULTILINE)
    assert re.search(r"^StartLimitBurst=", head, re.MULTILINE)
    assert float(unit["RestartSec"][0]) > 0


@pytest.mark.parametrize("name", sorted(UNITS.values()))
def test_a_role_runs_as_its_own_user_with_a_limit_of_memory_and_no_debugging(name):
    unit = directives(name)
    assert (unit["User"], unit["StateDirectory"]) == (["ibdesk"], ["ibdesk"])
    assert unit["EnvironmentFile"] == ["-/etc/ibdesk/env"]
    assert "DEBUG=false" in unit["Environment"][0].split()
    assert unit["MemoryMax"][0].endswith("%")
    assert (unit["ProtectSystem"], unit["NoNewPrivileges"], unit["PrivateTmp"]) == (["strict"], ["yes"], ["yes"])


@needs_systemd
@pytest.mark.parametrize("name", [*UNITS, "ibdesk.target"])
def test_systemd_understands_every_line(units, name):
    done = analyze(units, "verify", "--man=no", "--recursive-errors=no", str(units / name))
    assert (done.stderr, done.returncode) == ("", 0)


@needs_systemd
@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_little_that_a_unit_could_harm(units, name):
    done = analyze(units, "security", "--offline=yes", "--threshold=30", str(units / name))
    assert done.returncode == 0, done.stdout
    assert f"Overall exposure level for {name}" in done.stdout


@needs_bash
def test_the_dry_run_of_the_installer_says_all_that_it_would_do_and_does_nothing():
    done = subprocess.run([SYSTEMD / "install.sh", "--dry-run"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    steps = [line[2:] for line in done.stdout.splitlines() if line.startswith("+ ")]
    installed = {Path(step.split()[-1]).name for step in steps if "--mode=0644" in step}
    assert installed == {*UNITS.values(), "ibdesk.target", "10-sandbox.conf"}
    assert steps[-2:] == ["systemctl daemon-reload", "systemctl enable ibdesk.target"]
    if not Path("/opt/ibdesk").exists():
        assert "would stop: " in done.stdout


@needs_bash
def test_the_installer_refuses_what_it_does_not_know():
    command = [SYSTEMD / "install.sh", "--force"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: ")


@needs_bash
def test_the_installer_is_a_sound_script():
    checks = [["bash", "-n"]] + ([["shellcheck"]] if shutil.which("shellcheck") else [])
    for check in checks:
        done = subprocess.run([*check, SYSTEMD / "install.sh"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert os.access(SYSTEMD / "install.sh", os.X_OK)


# The page


def test_the_page_names_every_service_and_every_unit():
    page = (ROOT / "docs" / "deployment.md").read_text()
    services = {"db", "redis", "migrate", "web", "beat", "simulator", "ib-gateway"}
    for name in services | QUEUES | set(UNITS.values()) | {"ibdesk.target"}:
        assert f"`{name}`" in page, name
