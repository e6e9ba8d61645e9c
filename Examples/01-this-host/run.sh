#!/usr/bin/env bash
source "$(dirname "$0")/../../Scripts/scratch-network.bash"
host server
cable server eth0 198.51.100 2001:db8:2
web_server
start_clearway "$(dirname "$0")/clearway.toml"

run host curl -s http://198.51.100.2/
run host curl -gs 'http://[2001:db8:2::2]/'
run host curl -s http://198.51.100.2:81/ || echo "(refused)"

wait_for_sessions 3
show_sessions
stop_clearway
