#!/usr/bin/env bash
source "$(dirname "$0")/../../Scripts/scratch-network.bash"
gateway
web_server

# run_exec WORD…: runs it on the client, then shows what was said of its sessions.
run_exec() {
    local status=0
    echo "client\$ clearway exec $*"
    at client "$clearway" exec "$@" 2>"$scratch/sessions" || status=$?
    # curl sees the reset while it connects, or a moment later, and has a status for each.
    case $status in 0) ;; 7 | 56) echo "(curl gets no connection)" ;; *) echo "(status $status)" ;; esac
    sed -E 's/^[^ ]+ [^ ]+ clearway //; s/(192\.0\.0\.8|192\.0\.2\.2):[0-9]+/\1:PORT/g; s/duration=[0-9.]+/duration=SECONDS/; s/(up|down)=[0-9]+/\1=BYTES/g; s/"(client|upstream)-fin"/"SIDE-fin"/' \
        "$scratch/sessions"
}
run_exec -v -- curl -s http://198.51.100.2/
run_exec -v -c "$(dirname "$0")/clearway.toml" -- curl -s http://198.51.100.2/
run_exec -- sh -c 'exit 3'
