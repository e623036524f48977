#!/bin/bash
# Bring up a real Joule node (joule 1.0.1 from PyPI, unmodified) on loopback.
#
#   ./setup.sh                 start (or reuse) the default node on 127.0.0.1:18088
#   JOULE_INSTANCE=b JOULE_PORT=18090 PG_PORT=15434 JOULE_TLS=1 ./setup.sh
#
# Prints KEY=VALUE lines on stdout (URL, API key, ...); everything else goes to
# stderr. The same lines are left in $RUN/env.sh. ./stop.sh takes it down.
#
# Needs: Debian 12 (apt, root or sudo) or any machine that has PostgreSQL >= 14
# binaries (PG_BIN) and python >= 3.10 with pip access to PyPI.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
JOULE_INSTANCE=${JOULE_INSTANCE:-default}
# The temporary directory, because the postgres user may not be let into a checkout.
RUN=${JOULE_PEER_RUN:-$(dirname "$(mktemp -u)")/txbridge-joule}/$JOULE_INSTANCE
VENV=${JOULE_VENV:-$(cd "$HERE/../../../.." && pwd)/.venv-peers/joule}
PYTHON=${PYTHON:-python3}
JOULE_VERSION=${JOULE_VERSION:-1.0.1}
JOULE_PORT=${JOULE_PORT:-18088}
PG_PORT=${PG_PORT:-15433}
JOULE_TLS=${JOULE_TLS:-0}
JOULE_MODULES=${JOULE_MODULES:-1}
INSERT_PERIOD=${INSERT_PERIOD:-1}
CLEANUP_PERIOD=${CLEANUP_PERIOD:-5}
NODE_NAME=${NODE_NAME:-joule_$JOULE_INSTANCE}
LOOPBACK=127.0.0.1

say() { echo "[joule-peer] $*" >&2; }

AS_ROOT=""
if [ "$(id -u)" != 0 ] && command -v sudo >/dev/null; then AS_ROOT=sudo; fi
apt_install() {
    $AS_ROOT apt-get -o DPkg::Lock::Timeout=120 update -qq >&2
    $AS_ROOT env DEBIAN_FRONTEND=noninteractive \
        apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends "$@" >&2
}

alive() { [ -n "${1:-}" ] && kill -0 "$1" 2>/dev/null; }

# ---- 1. system packages -------------------------------------------------
find_pg() {
    if [ -n "${PG_BIN:-}" ]; then echo "$PG_BIN"; return; fi
    local d
    for d in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -Vr); do
        if [ -x "$d/initdb" ]; then echo "$d"; return; fi
    done
}
PG_BIN=$(find_pg)
if [ -z "$PG_BIN" ]; then
    say "installing postgresql with apt"
    # keep Debian from starting its own cluster
    $AS_ROOT mkdir -p /etc/postgresql-common
    [ -f /etc/postgresql-common/createcluster.conf ] || \
        echo "create_main_cluster = false" | $AS_ROOT tee /etc/postgresql-common/createcluster.conf >/dev/null
    apt_install postgresql
    PG_BIN=$(find_pg)
fi
[ -n "$PG_BIN" ] || { say "there is no PostgreSQL"; exit 1; }
say "PostgreSQL in $PG_BIN"
if [ "$JOULE_TLS" = 1 ] && ! command -v openssl >/dev/null; then apt_install openssl; fi

# ---- 2. python environment ---------------------------------------------
install_joule() {
    [ ! -f "$VENV/installed-$JOULE_VERSION" ] || return 0
    say "creating $VENV with joule==$JOULE_VERSION"
    rm -rf "$VENV"
    "$PYTHON" -m venv "$VENV" 2>/dev/null || {
        apt_install python3-venv
        rm -rf "$VENV"
        "$PYTHON" -m venv "$VENV"
    }
    # constraints.txt: the versions this recipe was run with, good for Debian 12's own
    # python 3.11.2. The pin that matters is SQLAlchemy < 2.1: from 2.1 on
    # "postgresql://" means psycopg 3, which joule does not install, and jouled dies.
    if [ -n "${JOULE_UNPINNED:-}" ]; then
        "$VENV/bin/pip" install -q "joule==$JOULE_VERSION" "sqlalchemy<2.1" >&2
    else
        "$VENV/bin/pip" install -q "joule==$JOULE_VERSION" -c "$HERE/constraints.txt" >&2
    fi
    touch "$VENV/installed-$JOULE_VERSION"
}
# one at a time: two test runs may start together
mkdir -p "$(dirname "$VENV")"
( flock 9; install_joule ) 9>"$VENV.lock"
say "joule $("$VENV/bin/python" -c 'from joule.version import version; print(version)')"

# ---- 3. database --------------------------------------------------------
mkdir -p "$RUN" && chmod 755 "$RUN"
if [ "$(id -u)" = 0 ]; then
    PGRUN() { runuser -u postgres -- env HOME="$RUN" "$@"; }
    OWN() { chown -R postgres "$@"; }
else
    PGRUN() { "$@"; }
    OWN() { :; }
fi
PGDATA=$RUN/pg
cd /
if [ ! -f "$PGDATA/PG_VERSION" ]; then
    say "initdb in $PGDATA"
    rm -rf "$PGDATA"; mkdir -p "$PGDATA" "$RUN/pgsock"
    head -c 18 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$RUN/pg.superpw"
    chmod 600 "$RUN/pg.superpw"; OWN "$PGDATA" "$RUN/pgsock" "$RUN/pg.superpw"
    PGRUN "$PG_BIN/initdb" -D "$PGDATA" -U postgres -A scram-sha-256 \
        --pwfile="$RUN/pg.superpw" -E UTF8 --locale=C.UTF-8 --no-sync >"$RUN/initdb.log" 2>&1
    cat > "$RUN/pg.extra.conf" <<EOF
listen_addresses = '$LOOPBACK'
port = $PG_PORT
unix_socket_directories = '$RUN/pgsock'
timezone = 'UTC'
# a throw-away test database
fsync = ${PG_FSYNC:-off}
synchronous_commit = off
full_page_writes = off
max_connections = 60
shared_buffers = 256MB
max_wal_size = 2GB
logging_collector = off
EOF
    # use the true extension when the machine has it
    if [ -f "$("$PG_BIN/pg_config" --sharedir 2>/dev/null)/extension/timescaledb.control" ]; then
        echo "shared_preload_libraries = 'timescaledb'" >> "$RUN/pg.extra.conf"
    fi
    cat "$RUN/pg.extra.conf" >> "$PGDATA/postgresql.conf"
fi
if ! PGRUN "$PG_BIN/pg_ctl" -D "$PGDATA" status >/dev/null 2>&1; then
    PGRUN "$PG_BIN/pg_ctl" -D "$PGDATA" -w -t 60 -l "$PGDATA/server.log" start >&2
fi
SUPERPW=$(cat "$RUN/pg.superpw")
super() { PGPASSWORD=$SUPERPW "$PG_BIN/psql" -X -q -v ON_ERROR_STOP=1 -h $LOOPBACK -p "$PG_PORT" -U postgres "$@"; }
asjoule() { PGPASSWORD=joule "$PG_BIN/psql" -X -q -v ON_ERROR_STOP=1 -h $LOOPBACK -p "$PG_PORT" -U joule -d joule "$@"; }
if [ "$(super -d postgres -Atc "select count(*) from pg_database where datname='joule'")" = 0 ]; then
    say "creating role and database"
    super -d postgres -c "CREATE ROLE joule LOGIN PASSWORD 'joule' CREATEROLE REPLICATION"
    super -d postgres -c "GRANT pg_read_all_settings TO joule"
    super -d postgres -c "CREATE DATABASE joule OWNER joule"
    super -d postgres -c "GRANT ALL PRIVILEGES ON DATABASE joule TO joule WITH GRANT OPTION"
    super -d joule -c "GRANT ALL ON SCHEMA public TO joule"
fi
if [ "$(super -d joule -Atc "select count(*) from pg_available_extensions where name='timescaledb'")" != 0 ]; then
    super -d joule -c "CREATE EXTENSION IF NOT EXISTS timescaledb CASCADE"
    TS_BACKEND=timescaledb
else
    PGOPTIONS="-c client_min_messages=warning" asjoule -f "$HERE/timescale_shim.sql" >/dev/null
    TS_BACKEND=shim
fi

# ---- 4. configuration ---------------------------------------------------
CONF=$RUN/etc
mkdir -p "$CONF"/{module_configs,data_stream_configs,event_stream_configs,importer_configs,exporter_configs} \
         "$RUN"/{importer_data,exporter_data,user}
chmod 700 "$RUN/user"
[ -f "$RUN/api.key" ] || "$VENV/bin/python" -c 'import secrets; print(secrets.token_urlsafe(32))' > "$RUN/api.key"
API_KEY=$(cat "$RUN/api.key")
IMPORTER_KEY=importer-key-for-conformance-tests
# modules of joule 0.9.x look for the node only where that release has it built in: set JOULE_SOCK
SOCK=${JOULE_SOCK:-$RUN/sock}
SCHEME=http
SECURITY=""
CAFILE=""
if [ "$JOULE_TLS" = 1 ]; then
    SCHEME=https
    if [ ! -f "$CONF/server.crt" ]; then
        openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=joule test ca" \
            -keyout "$CONF/ca.key" -out "$CONF/ca.crt" 2>/dev/null
        openssl req -newkey rsa:2048 -nodes -subj "/CN=localhost" \
            -keyout "$CONF/server.key" -out "$CONF/server.csr" 2>/dev/null
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' > "$CONF/san.ext"
        openssl x509 -req -in "$CONF/server.csr" -CA "$CONF/ca.crt" -CAkey "$CONF/ca.key" \
            -CAcreateserial -days 3650 -extfile "$CONF/san.ext" -out "$CONF/server.crt" 2>/dev/null
    fi
    cp "$CONF/ca.crt" "$RUN/user/ca.crt"
    CAFILE=$CONF/ca.crt
    SECURITY="[Security]
Certificate = $CONF/server.crt
Key = $CONF/server.key"
fi
echo "conformance, $API_KEY" > "$CONF/users.conf"
cat > "$CONF/main.conf" <<EOF
[Main]
Name = $NODE_NAME
ModuleDirectory = $CONF/module_configs
DataStreamDirectory = $CONF/data_stream_configs
# the name of the line above before joule 0.10
StreamDirectory = $CONF/data_stream_configs
EventStreamDirectory = $CONF/event_stream_configs
ImporterConfigsDirectory = $CONF/importer_configs
ImporterDataDirectory = $RUN/importer_data
ImporterKey = $IMPORTER_KEY
ExporterConfigsDirectory = $CONF/exporter_configs
ExporterDataDirectory = $RUN/exporter_data
UsersFile = $CONF/users.conf
IPAddress = $LOOPBACK
Port = $JOULE_PORT
SocketDirectory = $SOCK
Database = joule:joule@$LOOPBACK:$PG_PORT/joule
InsertPeriod = $INSERT_PERIOD
CleanupPeriod = $CLEANUP_PERIOD
MaxLogLines = 100
EchoModuleLogs = no
[Proxies]
site1 = http://127.0.0.1:3000
other site = https://127.0.0.1:8443/base
$SECURITY
EOF
if [ "$JOULE_MODULES" = 1 ]; then
cat > "$CONF/module_configs/random.conf" <<EOF
[Main]
name = Random Reader
description = random numbers at 100 Hz
exec_cmd = $VENV/bin/joule-random-reader
[Arguments]
width = 4
rate = 100
[Outputs]
output = /live/random:float32[x, y, z, w]
EOF
cat > "$CONF/module_configs/mean.conf" <<EOF
[Main]
name = Mean Filter
exec_cmd = $VENV/bin/joule-mean-filter
[Arguments]
window = 11
[Inputs]
input = /live/random
[Outputs]
output = /live/mean:float32[x, y, z, w]
EOF
cat > "$CONF/module_configs/pulse.conf" <<EOF
[Main]
name = Pulse
description = integer ramp with interval breaks
exec_cmd = $VENV/bin/python $HERE/pulse_reader.py
[Arguments]
rate = 50
run_length = 100
block = 10
[Outputs]
output = /live/pulse:int32[n, nsq]
EOF
fi
cat > "$CONF/data_stream_configs/locked.conf" <<EOF
[Main]
name = locked
path = /configured
datatype = float64
keep = 1w
decimate = yes
description = a statically configured stream
[Element1]
name = volts
units = V
display_type = discrete
default_min = -10
default_max = 10
[Element2]
name = amps
units = A
plottable = no
offset = 1.5
scale_factor = 2.0
EOF
# Off by default: joule 1.0.1 never makes the table of a statically configured event
# stream, so reading it, and GET /folders.json?data-info, answer 500 while one exists.
rm -f "$CONF/event_stream_configs/locked.conf"
if [ "${JOULE_CONFIGURED_EVENTS:-0}" = 1 ]; then
cat > "$CONF/event_stream_configs/locked.conf" <<EOF
[Main]
name = events
path = /configured
keep = all
description = a statically configured event stream
[Field1]
name = label
type = string
[Field2]
name = power
type = numeric
[Field3]
name = kind
type = category:["on","off"]
EOF
fi
cat > "$CONF/importer_configs/test.conf" <<EOF
[Main]
name = test bundle
[DataStream.1]
source_label = raw
path = /imported/raw
merge_gap = 5s
EOF

# ---- 5. daemon ----------------------------------------------------------
PID=$(cat "$RUN/jouled.pid" 2>/dev/null || true)
if ! alive "$PID"; then
    rm -f "$SOCK/pid" "$SOCK/api"
    say "starting jouled on $SCHEME://$LOOPBACK:$JOULE_PORT"
    ( cd "$RUN"; exec setsid env TZ=UTC PYTHONUNBUFFERED=1 "$VENV/bin/jouled" --config "$CONF/main.conf" \
        >"$RUN/jouled.log" 2>&1 </dev/null ) &
    PID=$!
    echo "$PID" > "$RUN/jouled.pid"
fi
URL=$SCHEME://$LOOPBACK:$JOULE_PORT
ok=0
for _ in $(seq 1 150); do
    if ! alive "$PID"; then say "jouled died:"; tail -20 "$RUN/jouled.log" >&2; exit 1; fi
    # the key works once the users file has been read (polled every 2 s)
    if "$VENV/bin/python" - "$URL" "$API_KEY" <<'PY' 2>/dev/null
import ssl, sys, urllib.request
r = urllib.request.Request(sys.argv[1] + "/version.json", headers={"X-API-KEY": sys.argv[2]})
print(urllib.request.urlopen(r, timeout=2, context=ssl._create_unverified_context()).read().decode(), file=sys.stdout)
PY
    then ok=1; break; fi >&2
    sleep 0.2
done
[ $ok = 1 ] || { say "no answer from $URL"; tail -20 "$RUN/jouled.log" >&2; exit 1; }

# ---- 6. what a client needs ----------------------------------------------
cat > "$RUN/user/nodes.json" <<EOF
[
  {
    "name": "$NODE_NAME",
    "url": "$URL",
    "key": "$API_KEY"
  }
]
EOF
chmod 600 "$RUN/user/nodes.json"
echo "$NODE_NAME" > "$RUN/user/default_node.txt"; chmod 600 "$RUN/user/default_node.txt"
cat > "$RUN/env.sh" <<EOF
JOULE_URL=$URL
JOULE_API_KEY=$API_KEY
JOULE_NODE_NAME=$NODE_NAME
JOULE_CAFILE=$CAFILE
JOULE_IMPORTER_KEY=$IMPORTER_KEY
JOULE_USER_CONFIG_DIR=$RUN/user
JOULE_SOCKET=$SOCK/api
JOULE_PYTHON=$VENV/bin/python
JOULE_PID=$PID
JOULE_LOG=$RUN/jouled.log
JOULE_DSN=postgresql://joule:joule@$LOOPBACK:$PG_PORT/joule
JOULE_TS_BACKEND=$TS_BACKEND
EOF
cat "$RUN/env.sh"
