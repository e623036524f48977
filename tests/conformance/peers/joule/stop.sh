#!/bin/bash
# Stop one instance (JOULE_INSTANCE, default "default"). --purge also removes its files.
set -u
JOULE_INSTANCE=${JOULE_INSTANCE:-default}
RUN=${JOULE_PEER_RUN:-$(dirname "$(mktemp -u)")/txbridge-joule}/$JOULE_INSTANCE
[ -d "$RUN" ] || { echo "nothing in $RUN" >&2; exit 0; }
PID=$(cat "$RUN/jouled.pid" 2>/dev/null || true)
# only signal a process that is ours
if [ -n "$PID" ] && kill -0 "$PID" 2>/dev/null && grep -qa "$RUN/etc/main.conf" "/proc/$PID/cmdline" 2>/dev/null; then
    KIDS=$(ps -o pid= --ppid "$PID" 2>/dev/null || true)      # the modules
    kill -TERM "$PID"
    for _ in $(seq 1 100); do kill -0 "$PID" 2>/dev/null || break; sleep 0.2; done
    kill -0 "$PID" 2>/dev/null && { echo "jouled $PID did not stop, killing it" >&2; kill -KILL "$PID"; }
    for k in $KIDS; do
        if kill -0 "$k" 2>/dev/null && grep -qaE -- "$RUN|--api-socket" "/proc/$k/cmdline" 2>/dev/null; then kill -KILL "$k"; fi
    done
fi
rm -f "$RUN/jouled.pid"
PG_BIN=${PG_BIN:-$(for d in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -Vr); do [ -x "$d/initdb" ] && echo "$d" && break; done)}
if [ -f "$RUN/pg/postmaster.pid" ]; then
    cd /
    if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$PG_BIN/pg_ctl" -D "$RUN/pg" -m fast -w stop >&2
    else "$PG_BIN/pg_ctl" -D "$RUN/pg" -m fast -w stop >&2; fi
fi
if [ "${1:-}" = --purge ]; then rm -rf "$RUN"; fi
exit 0
