#!/usr/bin/env bash
source "$(dirname "$0")/../../Scripts/scratch-network.bash"
gateway
web_server
start_clearway "$(dirname "$0")/clearway.toml"

run client curl -s http://198.51.100.2/
run client curl -gs 'http://[2001:db8:2::2]/'

wait_for_sessions 2
show_sessions
show_web_log
stop_clearway
