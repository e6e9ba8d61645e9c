#!/usr/bin/env bash
source "$(dirname "$0")/../../Scripts/scratch-network.bash"
gateway
web_server
start_clearway "$(dirname "$0")/clearway.toml"

run client curl -s http://198.51.100.2/
run client curl -s 'http://198.51.100.2/?again' -e http://www.example/
run client curl -s --path-as-is http://198.51.100.2/news/..//%61dmin/users
run client curl -s -X DELETE http://198.51.100.2/

wait_until "four requests" requests_are 4
show_requests
show_web_log
stop_clearway
